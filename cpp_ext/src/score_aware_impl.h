// The kernel of pq_score_aware.cpp over a vector type V: included by every kernels_<level>.cpp through kernels_impl.h.
#pragma once

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct ScoreAware {
  using F = typename V::F;

  // Best costs so far, lane by lane, with the codeword (as a float: there are at most 256) and its <u, c>.
  struct Best {
    F cost, position, inner;
  };

  // Panels at, at + 16, ...: `P` of them at once, so that their chains of additions overlap. Two fill the 16 registers
  // of AVX2 without spilling.
  template <int P>
  static void panels(const float* x, const float* u, const float* codebook_t, const float* norms, F along, F weight,
                     int64_t dsub, int64_t ksub, int64_t at, Best& best) {
    F cost[P], inner[P];
    for (int p = 0; p < P; ++p) {
      cost[p] = V::load(norms + at + p * kLanes);
      inner[p] = V::zero();
    }
    for (int64_t j = 0; j < dsub; ++j) {
      const F xj = V::set(-2.0f * x[j]), uj = V::set(u[j]);
      for (int p = 0; p < P; ++p) {
        const F c = V::load(codebook_t + j * ksub + at + p * kLanes);
        cost[p] = V::fma(xj, c, cost[p]);
        inner[p] = V::fma(uj, c, inner[p]);
      }
    }
    for (int p = 0; p < P; ++p) {
      const F left = V::sub(along, inner[p]);
      cost[p] = V::fma(V::mul(weight, left), left, cost[p]);
      const auto better = V::greater(best.cost, cost[p]);
      best.cost = V::blend(best.cost, cost[p], better);
      best.position = V::blend(best.position, V::set(static_cast<float>(at / kLanes + p)), better);
      best.inner = V::blend(best.inner, inner[p], better);
    }
  }

  static int32_t choose(const float* x, const float* u, const float* codebook_t, const float* norms, float along,
                        float weight, int64_t dsub, int64_t ksub, float* inner) {
    Best best{V::set(std::numeric_limits<float>::infinity()), V::zero(), V::zero()};
    const F a = V::set(along), w = V::set(weight);
    int64_t at = 0;
    for (; at + 2 * kLanes <= ksub; at += 2 * kLanes) panels<2>(x, u, codebook_t, norms, a, w, dsub, ksub, at, best);
    for (; at < ksub; at += kLanes) panels<1>(x, u, codebook_t, norms, a, w, dsub, ksub, at, best);
    alignas(64) float cost[kLanes], position[kLanes], product[kLanes];
    V::store(cost, best.cost);
    V::store(position, best.position);
    V::store(product, best.inner);
    int chosen = 0;
    for (int lane = 1; lane < kLanes; ++lane) {
      const bool tie = cost[lane] == cost[chosen] && position[lane] < position[chosen];  // lanes of a panel ascend
      if (cost[lane] < cost[chosen] || tie) chosen = lane;
    }
    if (!(cost[chosen] < std::numeric_limits<float>::infinity())) return -1;
    *inner = product[chosen];
    return static_cast<int32_t>(position[chosen]) * kLanes + chosen;
  }
};

}  // namespace
}  // namespace cluscomp
