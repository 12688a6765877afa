// Kernels of agglomerative clustering, see ward_kernels.h. The compiler vectorises these loops with the flags of the
// file that includes them; every operation is on one element, so the width changes no bit.
#pragma once

#include <limits>

#include "cluscomp/ward_kernels.h"

namespace cluscomp {
namespace {

struct WardImpl {
  static void nearest(const double* row, int64_t n, double* best, int64_t* position, double* second) {
    constexpr int kWidth = 16;
    constexpr double kNone = std::numeric_limits<double>::infinity();
    double first[kWidth], next[kWidth];
    for (int l = 0; l < kWidth; ++l) first[l] = next[l] = kNone;
    for (int64_t i = 0; i < n; i += kWidth) {
      for (int l = 0; l < kWidth; ++l) {
        const double value = row[i + l];
        const double larger = value > first[l] ? value : first[l];
        next[l] = larger < next[l] ? larger : next[l];
        first[l] = value < first[l] ? value : first[l];
      }
    }
    int lane = 0;
    for (int l = 1; l < kWidth; ++l) lane = first[l] < first[lane] ? l : lane;
    const double smallest = first[lane];
    double other = next[lane];
    for (int l = 0; l < kWidth; ++l)
      if (l != lane && first[l] < other) other = first[l];
    *best = smallest;
    *second = other;
    *position = find(row, n, smallest);
  }

  // Lowest position of a value; blocks are looked through without a branch an element.
  static int64_t find(const double* row, int64_t n, double wanted) {
    for (int64_t i = 0; i < n; i += 16) {
      int64_t hits = 0;
      for (int l = 0; l < 16; ++l) hits += row[i + l] == wanted;
      if (hits == 0) continue;
      for (int l = 0; l < 16; ++l)
        if (row[i + l] == wanted) return i + l;
    }
    return 0;
  }

  static void merge(double* a, const double* b, const double* s, int64_t n, double sa, double sb, double ab) {
    for (int64_t i = 0; i < n; ++i) {
      const double value = ((sa + s[i]) * a[i] + (sb + s[i]) * b[i] - s[i] * ab) / (sa + sb + s[i]);
      a[i] = value > 0 ? value : 0;
    }
  }

  static void add(double* sums, const float* part, int64_t n) {
    for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(part[i]);
  }

  static void squares(double* dots, const double* norms, double norm, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const double value = norm + norms[i] - 2 * dots[i];
      dots[i] = value > 0 ? value : 0;
    }
  }

  static void cosines(double* dots, const double* inverses, double inverse, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      double value = 1 - dots[i] * inverse * inverses[i];
      value = value > 0 ? value : 0;
      value = value < 2 ? value : 2;
      dots[i] = value * value;
    }
  }

  static constexpr WardKernels table() { return {nearest, merge, add, squares, cosines}; }
};

}  // namespace
}  // namespace cluscomp
