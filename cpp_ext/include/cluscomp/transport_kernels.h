// Kernels of entropic optimal transport. A plan entry is 2^(shift[j] + row_shift[r] - scale * cost[r][j]): exponents
// are formed in float64 (one fused step), the power in float32.
//
// The power: 2^t = 2^i * p(t - i) with i = t rounded to nearest even in float64, so that large exponents lose nothing,
// and p a polynomial of degree 6 in float32; relative error below 1.2e-7, the same bits at all levels. t is cut at 127;
// below -126.5 the power is 0.
#pragma once

#include <cstdint>

namespace cluscomp {

struct TransportKernels {
  // out[r * ld_out + j] = the entry, for j < k and zero up to the next multiple of 16. shift (k rounded up to 16, -inf
  // beyond k). sums[r] = sum of the row: lanes in float32 over groups of 8 x 16 columns, groups in float64.
  void (*exp_rows)(const float* cost, int64_t ld, int rows, int64_t k, const double* shift, const double* row_shift,
                   double scale, float* out, int64_t ld_out, double* sums);
  // acc[j] += sum_r weight[r] * entry[r * ld + j] for j < k, a multiple of 16; 8 rows at a time in float32 (fused, in
  // row order), these in float64.
  void (*add_rows)(const float* entry, int64_t ld, int rows, int64_t k, const float* weight, double* acc);
  // max_j shift[j] - scale * cost[j], and its lowest position.
  double (*best)(const float* cost, int64_t k, const double* shift, double scale, int64_t* position);
  // most[j] = max(most[j], row_shift[r] - scale * cost[r * ld + j]) over all rows; most has room up to a multiple
  // of 16.
  void (*raise)(const float* cost, int64_t ld, int rows, int64_t k, const double* row_shift, double scale,
                double* most);
};

}  // namespace cluscomp
