// The kernel of sparse.cpp over a vector type V: included by every kernels_<level>.cpp through kernels_impl.h.
#pragma once

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

constexpr int64_t kAhead = 6;  // non-zeros whose centroid values are asked for early: they lie anywhere in memory

template <class V>
void sparse_scores(const int32_t* columns, const float* values, int64_t count, const float* panel, float* out) {
  using F = typename V::F;
  F a0 = V::zero(), a1 = V::zero(), a2 = V::zero(), a3 = V::zero();
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      const float* next = panel + static_cast<int64_t>(columns[i + kAhead]) * kSparsePanel;
      for (int64_t line = 0; line < kSparsePanel; line += 16) __builtin_prefetch(next + line);
    }
    const float* at = panel + static_cast<int64_t>(columns[i]) * kSparsePanel;
    const F v = V::set(values[i]);
    a0 = V::fma(v, V::load(at), a0);
    a1 = V::fma(v, V::load(at + 16), a1);
    a2 = V::fma(v, V::load(at + 32), a2);
    a3 = V::fma(v, V::load(at + 48), a3);
  }
  V::store(out, a0);
  V::store(out + 16, a1);
  V::store(out + 32, a2);
  V::store(out + 48, a3);
}

}  // namespace
}  // namespace cluscomp
