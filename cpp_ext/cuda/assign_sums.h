// Sums of a warp in the CPU's order, and where vectors lie.
#pragma once

#include "block.h"

namespace cluscomp::cuda {

// Room for `count` values of type T a warp, one a lane.
template <class T>
struct LaneValues {
  T* values;
  CLUSCOMP_DEVICE T& at(int thread) const { return values[thread]; }
  CLUSCOMP_DEVICE T sum(int warp) const {
    T total = 0;
    for (int lane = 0; lane < 32; ++lane) total += values[warp * 32 + lane];
    return total;
  }
};

// The CPU's order of float64 sums (kernels_impl.h, sum_f64): 32 lanes, folded to 8, then halved.
CLUSCOMP_DEVICE double fold(const double* lanes) {
  double v[8];
  for (int i = 0; i < 8; ++i) v[i] = (lanes[i] + lanes[i + 8]) + (lanes[i + 16] + lanes[i + 24]);
  for (int width = 4; width; width /= 2)
    for (int i = 0; i < width; ++i) v[i] += v[i + width];
  return v[0];
}

// What one lane adds to the squared distance or inner product of a and b.
template <class A, class B>
CLUSCOMP_DEVICE double lane_part(const A* a, const B* b, int64_t d, int lane, bool l2) {
  double sum = 0;
  for (int64_t j = lane; j < d; j += 32) {
    const double x = static_cast<double>(value_of(a[j])), y = static_cast<double>(value_of(b[j])), difference = x - y;
    sum = l2 ? fma(difference, difference, sum) : fma(x, y, sum);
  }
  return sum;
}

// Where vector i of group g lies in a matrix of rows, or in (groups, k, d) centroids.
template <class T>
struct Vectors {
  const T* data;
  int64_t count, stride, group_stride;
  CLUSCOMP_DEVICE const T* at(int64_t group, int64_t i) const { return data + group * group_stride + i * stride; }
};

}  // namespace cluscomp::cuda
