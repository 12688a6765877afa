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

  // Adds bytes first to end of the first P planes.
  template <int P>
  static void add_part(const uint8_t* const* planes, int64_t first, int64_t end, const float* query, F* sums) {
    F parts[P];
    for (int p = 0; p < P; ++p) parts[p] = sums[p];
    const auto add = [&](int64_t j, size_t bytes) {
      const F values = V::load(query + 8 * j);
      for (int p = 0; p < P; ++p) {
        uint16_t bits = 0;
        std::memcpy(&bits, planes[p] + j, bytes);
        parts[p] = V::add_where(parts[p], values, bits);
      }
    };
    int64_t j = first;
    for (; j + 2 <= end; j += 2) add(j, 2);
    if (j < end) add(j, 1);
    for (int p = 0; p < P; ++p) sums[p] = parts[p];
  }
  static float dot_planes(const uint8_t* planes, int bits, const int64_t* widths, const float* query) {
    constexpr decltype(&add_part<1>) kParts[] = {add_part<1>, add_part<2>, add_part<3>, add_part<4>,
                                                 add_part<5>, add_part<6>, add_part<7>, add_part<8>};
    const uint8_t* starts[8];
    F sums[8];
    for (F& sum : sums) sum = V::zero();
    for (int p = 0; p < bits; planes += widths[p++]) starts[p] = planes;
    int64_t done = 0;
    for (int p = bits; p-- > 0; done = widths[p])
      if (widths[p] > done) kParts[p](starts, done, widths[p], query, sums);
    F total = sums[0];
    for (int p = 1; p < bits; ++p) total = V::fma(total, V::set(2.0f), sums[p]);
    return V::reduce(total);
  }

  static void add_plane(const uint16_t* entries, int doublings, int shift, int32_t* sums) {
    for (int i = 0; i < 64; ++i) sums[i] = (sums[i] << doublings) + (entries[i] << shift);
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
    return {
        .dot_planes = dot_planes, .add_plane = add_plane, .read_factors = read_factors, .plane_bounds = plane_bounds};
  }
};

}  // namespace
}  // namespace cluscomp
