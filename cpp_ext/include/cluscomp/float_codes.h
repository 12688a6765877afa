// Rows stored as float32, float16 or bfloat16.
#pragma once

#include "cluscomp/codes.h"

namespace cluscomp {

class FloatCodes : public Codes {
 public:
  explicit FloatCodes(const RowsView& rows) : Codes(rows.n, rows.d), view_(rows) {}
  std::unique_ptr<Scorer> scorer(Metric metric, const float* coarse) const override;
  void decode(int64_t first, int64_t n, float* out) const override;

 protected:
  const RowsView view_;
};

}  // namespace cluscomp
