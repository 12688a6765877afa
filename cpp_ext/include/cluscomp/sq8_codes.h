// One byte a value: vmin + (code + 0.5) / 255 * vdiff in each of d dimensions, as faiss's QT_8bit; times the scale of
// its row where rows have scales.
#pragma once

#include "cluscomp/codes.h"

namespace cluscomp {

class Sq8Codes : public Codes {
 public:
  // codes: (n, d). vmin, vdiff: (d). scales: (n) above 0, or null; only inner products are scored with them.
  Sq8Codes(const uint8_t* codes, int64_t n, int64_t d, const float* vmin, const float* vdiff,
           const float* scales = nullptr)
      : Codes(n, d), codes_(codes), vmin_(vmin), vdiff_(vdiff), scales_(scales) {}

  const uint8_t* row(int64_t i) const { return codes_ + i * dim(); }
  const float* scales() const { return scales_; }

  bool same_form(const Codes& other) const override;
  std::unique_ptr<Scorer> scorer(Metric metric, const float* coarse) const override;
  void decode(int64_t first, int64_t n, float* out) const override;

 private:
  const uint8_t* codes_;
  const float *vmin_, *vdiff_, *scales_;
};

}  // namespace cluscomp
