// Products of float rows with panels of centroids (kernels.h), written once over a vector type V (kernels_impl.h).
#pragma once

#include <limits>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct FloatFilter {
  using F = typename V::F;

  template <int R, int P>
  static void tile_f32(const float* x, int64_t ldx, const float* panels, const float* bias, int64_t d, float* out,
                       int64_t ld) {
    F acc[R][P];
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < P; ++p) acc[r][p] = V::load(bias + p * kLanes);
    for (int64_t j = 0; j < d; ++j) {
      F c[P];
      for (int p = 0; p < P; ++p) c[p] = V::load(panels + (p * d + j) * kLanes);
      for (int r = 0; r < R; ++r) {
        const F v = V::set(x[r * ldx + j]);
        for (int p = 0; p < P; ++p) acc[r][p] = V::fma(v, c[p], acc[r][p]);
      }
    }
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < P; ++p) V::store(out + r * ld + p * kLanes, acc[r][p]);
  }
  template <int P>
  static void column_f32(const float* x, int64_t ldx, int rows, const float* panels, const float* bias, int64_t d,
                         float* out, int64_t ld) {
    int r = 0;
    for (; r + V::kRows <= rows; r += V::kRows)
      tile_f32<V::kRows, P>(x + r * ldx, ldx, panels, bias, d, out + r * ld, ld);
    for (; r < rows; ++r) tile_f32<1, P>(x + r * ldx, ldx, panels, bias, d, out + r * ld, ld);
  }
  static void filter_f32(const float* x, int64_t ldx, int rows, const float* panels, const float* bias, int n_panels,
                         int64_t d, float* out, int64_t ld) {
    int p = 0;
    for (; p + V::kPanels <= n_panels; p += V::kPanels)
      column_f32<V::kPanels>(x, ldx, rows, panels + p * d * kLanes, bias + p * kLanes, d, out + p * kLanes, ld);
    for (; p < n_panels; ++p)
      column_f32<1>(x, ldx, rows, panels + p * d * kLanes, bias + p * kLanes, d, out + p * kLanes, ld);
  }

  // The two largest scores of R rows; every lane keeps its own two until the end. Panel numbers travel as floats.
  template <int R, int P>
  static void tile_top2(const float* x, int64_t ldx, const float* panels, const float* bias, int n_panels, int64_t d,
                        float* best, int32_t* position, float* second) {
    const F nothing = V::set(-std::numeric_limits<float>::infinity());
    F first[R], next[R], panel[R];
    for (int r = 0; r < R; ++r) {
      first[r] = next[r] = nothing;
      panel[r] = V::zero();
    }
    for (int p = 0; p < n_panels; p += P) {
      F acc[R][P];
      for (int r = 0; r < R; ++r)
        for (int q = 0; q < P; ++q) acc[r][q] = V::load(bias + (p + q) * kLanes);
      for (int64_t j = 0; j < d; ++j) {
        F c[P];
        for (int q = 0; q < P; ++q) c[q] = V::load(panels + ((p + q) * d + j) * kLanes);
        for (int r = 0; r < R; ++r) {
          const F v = V::set(x[r * ldx + j]);
          for (int q = 0; q < P; ++q) acc[r][q] = V::fma(v, c[q], acc[r][q]);
        }
      }
      for (int q = 0; q < P; ++q) {
        const F number = V::set(static_cast<float>(p + q));
        for (int r = 0; r < R; ++r) {
          panel[r] = V::blend(panel[r], number, V::greater(acc[r][q], first[r]));
          next[r] = V::max(next[r], V::min(acc[r][q], first[r]));
          first[r] = V::max(first[r], acc[r][q]);
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      const float top = V::reduce_max(first[r]);
      const uint32_t lanes = V::not_less(first[r], V::set(top));
      const int lane = lanes ? __builtin_ctz(lanes) : 0;
      alignas(64) float values[kLanes], numbers[kLanes];
      V::store(values, first[r]);
      V::store(numbers, panel[r]);
      values[lane] = -std::numeric_limits<float>::infinity();
      best[r] = top;
      position[r] = static_cast<int32_t>(numbers[lane]) * kLanes + lane;
      second[r] = V::reduce_max(V::max(next[r], V::load(values)));
    }
  }
  template <int P>
  static void rows_top2(const float* x, int64_t ldx, int rows, const float* panels, const float* bias, int n_panels,
                        int64_t d, float* best, int32_t* position, float* second) {
    constexpr int R = V::kTopRows;
    int r = 0;
    for (; r + R <= rows; r += R)
      tile_top2<R, P>(x + r * ldx, ldx, panels, bias, n_panels, d, best + r, position + r, second + r);
    for (; r < rows; ++r)
      tile_top2<1, P>(x + r * ldx, ldx, panels, bias, n_panels, d, best + r, position + r, second + r);
  }
  static void top2_f32(const float* x, int64_t ldx, int rows, const float* panels, const float* bias, int n_panels,
                       int64_t d, float* best, int32_t* position, float* second) {
    if (V::kPanels > 1 && n_panels % V::kPanels == 0) {
      rows_top2<V::kPanels>(x, ldx, rows, panels, bias, n_panels, d, best, position, second);
    } else {
      rows_top2<1>(x, ldx, rows, panels, bias, n_panels, d, best, position, second);
    }
  }
};

}  // namespace
}  // namespace cluscomp
