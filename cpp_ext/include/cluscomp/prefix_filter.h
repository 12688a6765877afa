// The first stages of assignment with many centroids: bounds from a few rotated dimensions, then from all of a few
// pairs.
//
// With V (d, m) of nearly orthonormal columns, p(x) = V'x and delta >= |V'V - I|:
//     <x, c> <= <p(x), p(c)> + t(x) t(c) + delta |p(x)| |p(c)|      t(x)^2 = |x|^2 - (1 - delta) |p(x)|^2
// The first product is taken of integers, as in the integer filters: p(x) = X + ex, p(c) = C + ec. What is left,
// |ex| |p(c)| + t(x) t(c), is one product of norms by Cauchy-Schwarz of (a |ex|, t(x)) and (|p(c)| / a, t(c)), with the
// same a for all. So the bound has the form that the kernels of the integer filters compute.
// Where V spans the principal directions, few pairs reach the best one by this bound. These get a bound from all
// dimensions, and only what that leaves open is decided in float64.
#pragma once

#include <vector>

#include "cluscomp/pack.h"

namespace cluscomp {

class PrefixFilter {
 public:
  // basis: (d, m) row after row, m a multiple of 16. filter: of the prefix. points (k, ld), mean, bias: as `pack_int`.
  PrefixFilter(const Kernels& kern, const IntFilter& filter, const float* basis, int64_t m, const float* points,
               int64_t k, int64_t d, int64_t ld, const float* mean, const double* bias);

  // Rows of one block, ready for both bounds.
  struct Rows {
    std::vector<float> rotated, bounds, terms;
    std::vector<int8_t> integers, whole, padded;
    std::vector<int32_t> sums, whole_sums, open;
    std::vector<float> whole_terms;
  };

  // centred: (n, ld); largest, sum_sq: of each.
  void prepare(const float* centred, const float* largest, const float* sum_sq, int64_t n, Rows& rows) const;
  // bounds[r * width + i] of row r with point first + i; first is a multiple of 16, count at most width.
  void bounds(Rows& rows, int64_t n, int64_t first, int64_t count, int64_t width) const;
  // A bound from all dimensions; `prefetch` asks for what it reads of a point.
  void prefetch(int64_t point) const { prefetch_bytes(whole_.data() + point * wide_, wide_); }
  float whole_bound(const Rows& rows, int64_t row, int64_t point) const;

 private:
  const Kernels& kern_;
  IntFilter filter_;
  int64_t d_, ld_, m_, wide_;  // wide: d, filled up to a multiple of 64
  float defect_, rotation_error_, balance_;
  std::vector<float> basis_, nothing_;  // panels [m / 16][d][16], and zeros
  IntPanels panels_;
  std::vector<uint8_t> whole_;      // (k, wide)
  std::vector<float> whole_terms_;  // (k, 4): scale, bias, error norm, norm

  struct Split {
    float prefix, tail;  // upper bounds of |p(x)| and t(x)
  };
  Split split(const float* prefix, float sum_sq) const;
  void set_defect();
  void pack(const float* points, int64_t k, const float* mean, const double* bias);
};

}  // namespace cluscomp
