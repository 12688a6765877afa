// Rows as RaBitQ codes (rabitq.h).
#pragma once

#include "cluscomp/codes.h"
#include "cluscomp/rabitq.h"

namespace cluscomp {

class RabitqCodes : public Codes {
 public:
  // codes: (n, form.row_bytes()). interleaved: they went through interleave_codes and can only be scanned.
  RabitqCodes(const Rabitq& form, const uint8_t* codes, int64_t n, bool interleaved)
      : Codes(n, form.d()), form_(form), codes_(codes), interleaved_(interleaved) {}

  const Rabitq& form() const { return form_; }
  const uint8_t* row(int64_t i) const { return codes_ + i * form_.row_bytes(); }

  bool same_form(const Codes& other) const override;
  bool takes_residuals() const override { return true; }
  bool by_row() const override { return !interleaved_; }
  bool has_bars() const override { return interleaved_; }
  std::unique_ptr<Scorer> scorer(Metric metric, const float* coarse) const override;
  void decode(int64_t first, int64_t n, float* out) const override { form_.decode(row(first), n, out); }
  void scan(const Parts& parts, const ScanCall& call, const HitArrays& out) const override;

 private:
  const Rabitq& form_;
  const uint8_t* codes_;
  bool interleaved_;
};

// `scan_lists` over interleaved codes. Unless the call allows rough scores, they are those of RabitqCodes::scorer, bit
// for bit.
void scan_rabitq(const Parts& parts, const ScanCall& call, const HitArrays& out);

}  // namespace cluscomp
