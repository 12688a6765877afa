// Kernels of bit_plane_kernels.h, written once over a vector type V.
#pragma once

#include <cstdint>
#include <cstring>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct BitPlanes {
  using F = typename V::F;

  static void add_plane(const uint16_t* entries, int shift, int32_t* sums) {
    for (int i = 0; i < 64; ++i) sums[i] = (sums[i] << shift) + entries[i];
  }

  // A pair of bytes, of an even row and of the odd one behind it, is one number of 16 bits.
  static void read_factors(const uint8_t* bytes, float* out) {
    uint16_t pairs[10][16];
    uint32_t words[3][32];
    std::memcpy(pairs, bytes, sizeof pairs);
    for (int factor = 0; factor < 2; ++factor) {
      const auto& p = pairs + 4 * factor;
      for (int i = 0; i < 16; ++i) {
        const uint32_t a = p[0][i], b = p[1][i], c = p[2][i], d = p[3][i];
        words[factor][i] = (a & 255) | (b & 255) << 8 | (c & 255) << 16 | (d & 255) << 24;
        words[factor][16 + i] = a >> 8 | (b >> 8) << 8 | (c >> 8) << 16 | (d >> 8) << 24;
      }
    }
    for (int i = 0; i < 16; ++i) {
      const uint32_t a = pairs[8][i], b = pairs[9][i];
      words[2][i] = (a & 255) << 16 | (b & 255) << 24;
      words[2][16 + i] = (a >> 8) << 16 | (b >> 8) << 24;
    }
    for (int factor = 0; factor < 3; ++factor) std::memcpy(out + factor * 64, words[factor], sizeof words[factor]);
  }

  static uint64_t plane_bounds(const int32_t* sums, const float* factors, const PlaneTerms& terms, float* bounds) {
    const F step = V::set(terms.step), low = V::set(terms.low), width = V::set(terms.width);
    const F needed = V::set(terms.needed), rounding = V::set(0x1p-20f);
    uint64_t mask = 0;
    for (int i = 0; i < 64; i += kLanes) {
      const F sum = V::fma(V::to_f(V::load_i(sums + i)), step, low), add = V::load(factors + 64 + i);
      F bound = V::fma(V::load(factors + i), sum, add);
      bound = V::fma(V::abs(add), rounding, bound);
      bound = V::fma(V::load(factors + 128 + i), width, bound);
      V::store(bounds + i, bound);
      mask |= static_cast<uint64_t>(V::not_less(bound, needed)) << i;
    }
    return mask;
  }

  static constexpr BitPlaneKernels table() {
    return {.add_plane = add_plane, .read_factors = read_factors, .plane_bounds = plane_bounds};
  }
};

}  // namespace
}  // namespace cluscomp
