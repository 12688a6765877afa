// Kernels of columns.h, written once over a vector type V (kernels_impl.h): lanes are rows.
#pragma once

#include <cstdint>
#include <limits>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct Columns {
  using F = typename V::F;
  using I = typename V::I;

  // d is a multiple of 4; rows are read up to the next multiple of 16.
  static float columns_f32(const float* x, int64_t ldx, int64_t groups, const float* mean, int64_t d, float* out,
                           float* sum_sq) {
    F largest = V::zero();
    bool bad = false;
    const F limit = V::set(std::numeric_limits<float>::max());
    for (int64_t g = 0; g < groups; ++g, x += kLanes * ldx, out += d * kLanes) {
      F squares = V::zero();
      for (int64_t j = 0; j < d; j += 4) {
        F part[4];
        V::transpose4(x + j, ldx, part);
        for (int i = 0; i < 4; ++i) {
          const F v = V::sub(part[i], V::set(mean[j + i]));
          squares = V::fma(v, v, squares);
          V::store(out + (j + i) * kLanes, v);
        }
      }
      V::store(sum_sq + g * kLanes, squares);
      bad |= V::not_less(squares, limit) != 0;
      largest = V::max(largest, squares);
    }
    return bad ? std::numeric_limits<float>::infinity() : V::reduce_max(largest);
  }
  static void columns_i16(const float* columns, int64_t groups, int64_t d, int64_t pairs, float scale, int32_t* out) {
    const F s = V::set(scale);
    for (int64_t g = 0; g < groups; ++g, columns += d * kLanes)
      for (int64_t p = 0; p < pairs; ++p, out += kLanes) {
        const float* at = columns + 2 * p * kLanes;
        V::store_i(out, V::pair_i16(V::round_i(V::mul(V::load(at), s)), V::round_i(V::mul(V::load(at + kLanes), s))));
      }
  }
  // -infinity becomes the smallest number.
  static void start_i32(const float* x, int64_t n, float scale, int32_t* out) {
    for (int64_t i = 0; i < n; ++i) {
      const float v = x[i] * scale;
      const int32_t whole =
          v >= -0x1p31f && v < 0x1p31f ? static_cast<int32_t>(v) : std::numeric_limits<int32_t>::min();
      out[i] = (whole & ~255) | static_cast<int32_t>(i & 255);
    }
  }

  // PAIRS > 0: the number of pairs where the rows of a group fit the registers. Otherwise a tile of C centroids saves
  // loads of rows.
  template <int R, int C, int PAIRS>
  static void tile(const int32_t* x, const int32_t* c, const int32_t* start, int64_t k, int64_t any_pairs,
                   int32_t* best, int32_t* second) {
    const int64_t pairs = PAIRS ? PAIRS : any_pairs;
    I first[R], next[R];
    for (int r = 0; r < R; ++r) first[r] = next[r] = V::set_i(std::numeric_limits<int32_t>::min());
    for (int64_t i = 0; i < k; i += C, c += C * pairs) {
      I acc[C][R];
      for (int q = 0; q < C; ++q)
        for (int r = 0; r < R; ++r) acc[q][r] = V::set_i(start[i + q]);
      for (int64_t p = 0; p < pairs; ++p) {
        I rows[R];
        for (int r = 0; r < R; ++r) rows[r] = V::load_i(x + (r * pairs + p) * kLanes);
        for (int q = 0; q < C; ++q) {
          const I point = V::set_i(c[q * pairs + p]);
          for (int r = 0; r < R; ++r) {
            if constexpr (PAIRS)
              acc[q][r] = V::dot_i16(acc[q][r], rows[r], point);
            else
              V::add_dot_i16(acc[q][r], rows[r], point);
          }
        }
      }
      for (int q = 0; q < C; ++q) {
        const I begin = V::set_i(start[i + q]);
        for (int r = 0; r < R; ++r) {
          const I score = V::low_byte_of(acc[q][r], begin);  // the centroid's number
          next[r] = V::max_i(next[r], V::min_i(score, first[r]));
          first[r] = V::max_i(first[r], score);
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      V::store_i(best + r * kLanes, first[r]);
      V::store_i(second + r * kLanes, next[r]);
    }
  }
  template <int C, int PAIRS>
  static void groups_top2(const int32_t* x, int64_t groups, const int32_t* c, const int32_t* start, int64_t k,
                          int64_t pairs, int32_t* best, int32_t* second) {
    constexpr int R = PAIRS == 8 ? 2 : V::kColumnGroups;  // 8 pairs of 4 groups would fill all registers
    int64_t g = 0;
    for (; g + R <= groups; g += R)
      tile<R, C, PAIRS>(x + g * pairs * kLanes, c, start, k, pairs, best + g * kLanes, second + g * kLanes);
    for (; g < groups; ++g)
      tile<1, C, PAIRS>(x + g * pairs * kLanes, c, start, k, pairs, best + g * kLanes, second + g * kLanes);
  }
  static void top2_i16(const int32_t* x, int64_t groups, const int32_t* c, const int32_t* start, int64_t k,
                       int64_t pairs, int32_t* best, int32_t* second) {
    switch (pairs) {
      case 2: return groups_top2<2, 2>(x, groups, c, start, k, pairs, best, second);
      case 4: return groups_top2<1, 4>(x, groups, c, start, k, pairs, best, second);
      case 8:
        if constexpr (V::kHeldPairs == 8) return groups_top2<4, 8>(x, groups, c, start, k, pairs, best, second);
        [[fallthrough]];
      default: return groups_top2<4, 0>(x, groups, c, start, k, pairs, best, second);
    }
  }
};

}  // namespace
}  // namespace cluscomp
