// Rows rounded to 16 bits, two dimensions in one number and 16 rows side by side, for inner products in integers.
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/kernels.h"

namespace cluscomp {

constexpr float kLongestRow = 1e14f;  // longer rows are refused: squares must stay within float32

struct RoundedRows {
  std::vector<int32_t> values;  // [groups][pairs][16]
  std::vector<float> columns, norms;
  float scale = 1;  // a number is round(scale * element)
  int64_t n = 0, pairs = 0;

  // rows (n rounded up to 16, ld): zeros from row n and from column d on; ld is d rounded up to 16. False, with nothing
  // of use written, where a row is longer than kLongestRow.
  bool round(const Kernels& kern, const float* rows, int64_t count, int64_t d, int64_t ld);

  const int32_t* group(int64_t g) const { return values.data() + g * pairs * kLanes; }
  int64_t groups() const { return (n + kLanes - 1) / kLanes; }
};

}  // namespace cluscomp
