// Look-up tables of product codes (kernels.h), written once over a vector type V.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct PqTables {
  using F = typename V::F;

  static void table_dot(const float* q, const float* codebook_t, int64_t dsub, int64_t ksub, float* out) {
    for (int64_t k = 0; k < ksub; k += kLanes) {
      F acc = V::zero();
      for (int64_t j = 0; j < dsub; ++j) acc = V::fma(V::set(q[j]), V::load(codebook_t + j * ksub + k), acc);
      V::store(out + k, acc);
    }
  }
  static void table_l2(const float* q, const float* codebook_t, int64_t dsub, int64_t ksub, float* out) {
    for (int64_t k = 0; k < ksub; k += kLanes) {
      F acc = V::zero();
      for (int64_t j = 0; j < dsub; ++j) {
        const F diff = V::sub(V::set(q[j]), V::load(codebook_t + j * ksub + k));
        acc = V::fma(diff, diff, acc);
      }
      V::store(out + k, acc);
    }
  }

  static TableScale byte_tables(const float* tables, int64_t m, float sign, uint8_t* out) {
    const F signs = V::set(sign), minus = V::set(-1.0f);
    TableScale scale{0, 0, 0};
    for (int64_t s = 0; s < m; ++s) {
      const F t = V::mul(V::load(tables + s * 16), signs);
      const float high = V::reduce_max(t), low = -V::reduce_max(V::mul(t, minus));
      const float range = (high - low) * (1.000001f / 126);
      scale.step = range > scale.step ? range : scale.step;
      scale.low += static_cast<double>(low);
      scale.magnitude += static_cast<double>(std::fabs(low) > std::fabs(high) ? std::fabs(low) : std::fabs(high));
    }
    if (!(scale.step > 0)) scale.step = 1;
    const F inverse = V::set(1.0f / scale.step), up = V::set(0.5001f);
    for (int64_t s = 0; s < m; ++s) {
      const F t = V::mul(V::load(tables + s * 16), signs);
      const F low = V::set(-V::reduce_max(V::mul(t, minus)));
      V::store_i8(reinterpret_cast<int8_t*>(out + s * 16), V::round_i(V::fma(V::sub(t, low), inverse, up)));
    }
    if (m % 2) std::memset(out + m * 16, 0, 16);
    return scale;
  }
};

}  // namespace
}  // namespace cluscomp
