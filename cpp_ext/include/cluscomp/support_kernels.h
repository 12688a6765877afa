// Kernels of support pooling (support.h), part of the table `Kernels`.
#pragma once

#include <cstdint>

namespace cluscomp {

struct SupportKernels {
  // For 16 lanes of integers [pairs][16] and n rows [ceil(n / 16)][pairs][16], both as round_columns of WardKernels
  // writes them: best[lane] is the largest inner product with a row, position[lane] the lowest row that has it.
  // n is at least 1 and below 2^24; `pairs` is even.
  void (*largest_i16)(const int32_t* rows, int64_t n, const int32_t* lanes, int64_t pairs, float* best,
                      int32_t* position);

  // out = sum over i < n of <row_i, p> row_i, where row_i = x[rows[i] * d ...]; d is a multiple of 16. Element j of an
  // inner product goes to lane j % 16, and lanes are added by halves; out sums in the order of i, products fused.
  void (*apply_normal)(const float* x, int64_t d, const int32_t* rows, int64_t n, const float* p, float* out);
  // out = sum over i < n of weights[rows[i]] row_i, in the order of i, products fused.
  void (*weighted_sum)(const float* x, int64_t d, const int32_t* rows, int64_t n, const float* weights, float* out);
};

}  // namespace cluscomp
