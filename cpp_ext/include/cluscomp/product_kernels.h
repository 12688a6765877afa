// Kernels that rotate, project and scale rows, part of the table `Kernels`. Their orders of sums decide the last bits
// of what an index stores, so machines that share a build agree (packed_matrix.h, unit_rows.h).
#pragma once

#include <cstdint>

namespace cluscomp {

constexpr int64_t kProductColumns = 8;  // columns of a matrix in one panel; a zmm register of doubles

// Rows of doubles as products read them: groups of `group` rows, each [ceil(d / 8)][group][8]. Panels are [d][8].
struct ProductKernels {
  int group;

  // One row of d elements to its place in a group; what lies between d and the next multiple of 8 is not read.
  void (*widen)(const float* x, int64_t d, double* out);
  void (*place)(const double* x, int64_t d, double* out);

  // out[r * ld + c] = sum over j < d of rows[r][j] * panels[c / 8][j][c % 8], for n rows and `columns` columns: one
  // chain of fused multiply-adds in float64, from 0 and in the order of j; rounded once to float32 in the first.
  void (*to_f32)(const double* rows, int64_t n, const double* panels, int64_t d, int64_t columns, float* out,
                 int64_t ld);
  void (*to_f64)(const double* rows, int64_t n, const double* panels, int64_t d, int64_t columns, double* out,
                 int64_t ld);

  // sum_i x[i]^2 in the order of `dot_f64`: element i goes to accumulator (i / 8) % 4, lane i % 8; accumulators are
  // added as (0+1)+(2+3) and lanes by halves (l with l+4, then l+2, l+1). Products are fused.
  double (*square_sum)(const double* x, int64_t d);
  // out[i] = x[i] / divisor in float64, rounded once to float32.
  void (*divide_f32)(const float* x, double divisor, int64_t d, float* out);
  void (*divide_f64)(const double* x, double divisor, int64_t d, float* out);
};

}  // namespace cluscomp
