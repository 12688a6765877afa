// Rows as the callers hold them: float32, float16 or bfloat16, any row stride; converted a block at a time.
#pragma once

#include <cstdint>

namespace cluscomp {

enum class RowType { f32, f16, bf16 };

struct RowsView {
  const void* data;
  RowType type;
  int64_t n;
  int64_t d;
  int64_t stride_in_elements;

  int64_t element_size() const { return type == RowType::f32 ? 4 : 2; }
  const void* row(int64_t i) const { return static_cast<const char*>(data) + i * stride_in_elements * element_size(); }
  // The same rows seen through `width` columns from `first` on (a sub-space of a product quantizer).
  RowsView columns(int64_t first, int64_t width) const {
    return {static_cast<const char*>(data) + first * element_size(), type, n, width, stride_in_elements};
  }
};

// Converts rows [begin, end) to float32; out is (end - begin, d) with row stride ld.
void load_rows(const RowsView& x, int64_t begin, int64_t end, float* out, int64_t ld);

// Index of the first row with NaN, infinity or a magnitude above `largest` (at least 65504, the largest float16), or
// -1.
int64_t first_row_beyond(const RowsView& x, float largest);

// How many rows some bytes hold, at least one.
inline int64_t rows_in(int64_t bytes, int64_t row_bytes) {
  return row_bytes < 1 || row_bytes > bytes ? 1 : bytes / row_bytes;
}

// Asks the memory for bytes that are read soon.
inline void prefetch_bytes(const void* first, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(first) + i);
}

}  // namespace cluscomp
