// Kernels of agglomerative clustering: loops over one row of a float64 matrix of squared distances. They are plain C++
// (ward_impl.h) compiled once per instruction set; nothing in them depends on the width of a vector.
#pragma once

#include <cstdint>

namespace cluscomp {

struct WardKernels {
  // Smallest of n values (n a multiple of 16), its lowest position, and the smallest value of all other positions.
  void (*nearest)(const double* row, int64_t n, double* best, int64_t* position, double* second);
  // Lance-Williams for Ward: a[i] = max(0, ((sa + s[i]) a[i] + (sb + s[i]) b[i] - s[i] ab) / (sa + sb + s[i])).
  void (*merge)(double* a, const double* b, const double* s, int64_t n, double sa, double sb, double ab);
  // sums[i] += part[i]
  void (*add)(double* sums, const float* part, int64_t n);
  // dots[i] = max(0, norm + norms[i] - 2 dots[i])
  void (*squares)(double* dots, const double* norms, double norm, int64_t n);
  // dots[i] = c * c with c = 1 - dots[i] * inverse * inverses[i], c kept in [0, 2]
  void (*cosines)(double* dots, const double* inverses, double inverse, int64_t n);
};

}  // namespace cluscomp
