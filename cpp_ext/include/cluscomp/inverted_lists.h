// Which stored rows belong to which list. An index without partition is one list.
#pragma once

#include <cstdint>

namespace cluscomp {

struct InvertedLists {
  const int64_t* offsets = nullptr;  // (count + 1) from 0 on: rows of list l are [offsets[l], offsets[l + 1])
  int64_t count = 0;
  const void* positions = nullptr;  // row -> position, int64 or, unless wide, int32; null: the row number
  bool wide_positions = true;
  const float* coarse = nullptr;  // (count, d) centroids where codes are residuals to the one of their list, or null

  int64_t rows() const { return offsets[count]; }
  int64_t position(int64_t row) const {
    if (!positions) return row;
    return wide_positions ? static_cast<const int64_t*>(positions)[row] : static_cast<const int32_t*>(positions)[row];
  }
};

}  // namespace cluscomp
