// Rows stored as float32, float16 or bfloat16.
#pragma once

#include "cluscomp/codes.h"

namespace cluscomp {

class PrescreenedCodes;

class FloatCodes : public Codes {
 public:
  explicit FloatCodes(const RowsView& rows) : Codes(rows.n, rows.d), view_(rows) {}
  const RowsView& view() const { return view_; }
  // The same rows, if they have a prescreen; else null.
  virtual const PrescreenedCodes* prescreened() const { return nullptr; }

  bool same_form(const Codes& other) const override;
  std::unique_ptr<Scorer> scorer(Metric metric, const float* coarse) const override;
  void decode(int64_t first, int64_t n, float* out) const override;
  // By the prescreens of the parts that have one.
  void scan(const Parts& parts, const ScanCall& call, const HitArrays& out) const override;

 protected:
  const RowsView view_;
};

}  // namespace cluscomp
