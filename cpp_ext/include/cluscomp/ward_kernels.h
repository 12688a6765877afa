// Kernels of agglomerative clustering, each one element of a row by itself or over a stated order, so that all
// instruction sets give the same bits (ward_impl.h). "Height" is the squared Ward distance.
#pragma once

#include <cstdint>

namespace cluscomp {

// What one cluster needs to know of all others: `power` is |sum|^2 / size less the slack of ward_gram.cpp, infinity
// for a cluster that is merged away; `sizes` is the number of rows.
struct WardClusters {
  const float* power;
  const float* sizes;
  int64_t ld;  // a multiple of 16
};

struct WardKernels {
  // ---- a float64 matrix of squared distances ----
  // Smallest of n values (n a multiple of 16), its lowest position, and the smallest value of all other positions.
  void (*nearest)(const double* row, int64_t n, double* best, int64_t* position, double* second);
  // Lance-Williams for Ward: a[i] = max(0, ((sa + s[i]) a[i] + (sb + s[i]) b[i] - s[i] ab) / (sa + sb + s[i])).
  void (*merge)(double* a, const double* b, const double* s, int64_t n, double sa, double sb, double ab);
  // sums[i] += part[i]
  void (*add)(double* sums, const float* part, int64_t n);
  // dots[i] = c * c with c = 1 - dots[i] * inverse * inverses[i], c kept in [0, 2]
  void (*cosines)(double* dots, const double* inverses, double inverse, int64_t n);

  // ---- inner products of rounded sums ----
  // sums[i] += x[i]
  void (*add_f32)(float* sums, const float* x, int64_t n);
  // 16 rows as columns [d][16] times scale, rounded to 16 bits, two dimensions in one number: out [pairs][16].
  // errors[lane] = sum of squares of what was rounded away.
  void (*round_columns)(const float* columns, int64_t d, int64_t pairs, float scale, int32_t* out, float* errors);
  // out[r * ld + lane] = inner product of row r of `a` and row `lane` of `b`, both [pairs][16] as above;
  // `pairs` is even.
  void (*gram_i16)(const int32_t* a, const int32_t* b, int64_t pairs, float* out, int64_t ld);
  // heights[i] = max(0, 2 (sizes[i] power + size powers[i] - 2 products[i]) / (size + sizes[i])), and as `nearest`.
  // The first where all sizes are 1.
  void (*single_heights)(const float* products, const WardClusters& all, float power, float* heights, float* best,
                         int64_t* position, float* second);
  void (*heights)(const float* products, const WardClusters& all, float size, float power, float* heights, float* best,
                  int64_t* position, float* second);
  // Smallest of n values (n a multiple of 16) and its lowest position.
  float (*smallest)(const float* values, int64_t n, int64_t* position);
  // out[i] = (root + slack[i])^2
  void (*limits)(const float* slack, int64_t n, float root, float* out);
  // sum_i (a[i] * wa - b[i] * wb)^2 in the order of float64 sums; d a multiple of 16.
  double (*weighted_l2)(const double* a, double wa, const double* b, double wb, int64_t d);
  double (*weighted_l2_row)(const double* a, double wa, const float* b, double wb, int64_t d);
  // sums[i] += x[i], and sums[i] = a[i] + b[i]
  void (*add_f64)(double* sums, const double* x, int64_t d);
  void (*add_rows)(double* sums, const float* a, const float* b, int64_t d);
};

}  // namespace cluscomp
