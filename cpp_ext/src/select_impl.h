// Choosing scores (kernels.h), written once over a vector type V (kernels_impl.h).
#pragma once

#include <limits>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct Select {
  using F = typename V::F;

  static F load(const float* p, int64_t n) { return n >= kLanes ? V::load(p) : V::load_part(p, static_cast<int>(n)); }

  static float max_score(const float* scores, int64_t n, int64_t* position) {
    F best = V::set(-std::numeric_limits<float>::infinity());
    for (int64_t i = 0; i < n; i += kLanes) best = V::max(V::load(scores + i), best);
    const float value = V::reduce_max(best);
    const F wanted = V::set(value);
    *position = 0;
    for (int64_t i = 0; i < n; i += kLanes) {
      const uint32_t mask = V::not_less(V::load(scores + i), wanted);
      if (mask) {
        *position = i + __builtin_ctz(mask);
        break;
      }
    }
    return value;
  }
  static int64_t select(const float* scores, int64_t n, float threshold, int32_t* positions) {
    const F limit = V::set(threshold);
    int64_t found = 0;
    for (int64_t i = 0; i < n; i += kLanes) {
      uint32_t mask = V::not_less(V::load(scores + i), limit);
      for (; mask; mask &= mask - 1) positions[found++] = static_cast<int32_t>(i + __builtin_ctz(mask));
    }
    return found;
  }

  static int64_t select_below(const float* values, const float* limits, int64_t n, int32_t* positions) {
    int64_t found = 0;
    for (int64_t i = 0; i < n; i += kLanes) {
      const int64_t left = n - i;
      const F value = load(values + i, left), limit = load(limits + i, left);
      uint32_t mask = ~V::not_less(value, limit) & 0xffffu;  // what fills up the last load is 0 < 0: not below
      for (; mask; mask &= mask - 1) positions[found++] = static_cast<int32_t>(i + __builtin_ctz(mask));
    }
    return found;
  }
};

}  // namespace
}  // namespace cluscomp
