// The kernels of product_kernels.h, written once over a vector type V (kernels_impl.h).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "cluscomp/product_kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct ProductImpl {
  using F = typename V::F;
  using D = typename V::D;
  static constexpr int64_t kWide = kProductColumns;

  // ---- elements [i, i + 16) of a row, the last n < 16 padded with zeros ----
  struct Pair {
    D low, high;
  };
  static Pair load(const float* x, int64_t n) {
    const F v = n >= 2 * kWide ? V::load(x) : V::load_part(x, static_cast<int>(n));
    return {V::low(v), V::high(v)};
  }
  static Pair load(const double* x, int64_t n) {
    alignas(64) double part[2 * kWide] = {};
    if (n < 2 * kWide) {
      std::memcpy(part, x, static_cast<size_t>(n) * sizeof(double));
      x = part;
    }
    return {V::load_d(x), V::load_d(x + kWide)};
  }
  static void store(float* out, D low, D high, int64_t n) {
    const F v = V::narrow(low, high);
    if (n >= 2 * kWide) return V::store(out, v);
    V::store_part(out, v, static_cast<int>(n));
  }

  // ---- products ----
  static constexpr int64_t kAhead = 24;  // rows of a panel that are asked for before they are needed
  static constexpr int64_t kChunk = V::kProductRows * kWide;  // doubles between eight elements of a row and the next
  template <class T>
  static void spread(const T* x, int64_t d, double* out) {
    for (int64_t i = 0; i < d; i += 2 * kWide, out += 2 * kChunk) {
      const Pair v = load(x + i, d - i);
      V::store_d(out, v.low);
      if (i + kWide < d) V::store_d(out + kChunk, v.high);
    }
  }

  template <class Out>
  static void convert(const double* results, int64_t n, Out* out) {
    for (int64_t c = 0; c < n; ++c) out[c] = static_cast<Out>(results[c]);
  }

  // R rows of a group with P panels.
  template <int R, int P, class Out>
  static void tile(const double* rows, const double* panels, int64_t d, int64_t columns, Out* out, int64_t ld) {
    D sums[R][P];
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < P; ++p) sums[r][p] = V::zero_d();
    for (int64_t first = 0; first < d; first += kWide, rows += kChunk) {
      const int64_t stop = std::min(first + kWide, d);
      const double* x = rows;
      for (int64_t j = first; j < stop; ++j, ++x) {
        for (int p = 0; p < P; ++p) __builtin_prefetch(panels + (p * d + j + kAhead) * kWide);
        D c[P];
        for (int p = 0; p < P; ++p) c[p] = V::load_d(panels + (p * d + j) * kWide);
        for (int r = 0; r < R; ++r) {
          const D v = V::set_d(x[r * kWide]);
          for (int p = 0; p < P; ++p) sums[r][p] = V::fma_d(v, c[p], sums[r][p]);
        }
      }
    }
    // Sums stay in registers where they are only ever named by constants.
    alignas(64) double results[R][P * kWide];
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < P; ++p) V::store_d(results[r] + p * kWide, sums[r][p]);
    for (int r = 0; r < R; ++r) {
      if (columns >= P * kWide)
        convert(results[r], P * kWide, out + r * ld);
      else
        convert(results[r], columns, out + r * ld);
    }
  }
  // R rows of each of some groups with all panels, P at a time: panels stay in the cache for all groups.
  template <int R, int P, class Out>
  static void rows_with_panels(const double* rows, int64_t groups, const double* panels, int64_t d, int64_t columns,
                               Out* out, int64_t ld) {
    int64_t c = 0;
    for (; c + (P - 1) * kWide < columns; c += P * kWide)
      for (int64_t g = 0; g < groups; ++g)
        tile<R, P>(rows + g * group_size(d), panels + c * d, d, columns - c, out + g * V::kProductRows * ld + c, ld);
    if constexpr (P > 1) rows_with_panels<R, P / 2>(rows, groups, panels + c * d, d, columns - c, out + c, ld);
  }
  static int64_t group_size(int64_t d) { return (d + kWide - 1) / kWide * kChunk; }

  // Whole groups, then what is left of one by 8, 4 and fewer rows, with as many panels as hide the latency of sums.
  template <int R, class Out>
  static void few_rows(const double* rows, const double* panels, int64_t d, int64_t columns, Out* out, int64_t ld) {
    constexpr auto kPanels =
        static_cast<int>(std::bit_floor(static_cast<unsigned>(std::clamp(V::kRestSums / R, 1, 8))));
    rows_with_panels<R, kPanels>(rows, 1, panels, d, columns, out, ld);
  }
  template <class Out>
  static void multiply(const double* rows, int64_t n, const double* panels, int64_t d, int64_t columns, Out* out,
                       int64_t ld) {
    const int64_t groups = n / V::kProductRows;
    rows_with_panels<V::kProductRows, V::kProductPanels>(rows, groups, panels, d, columns, out, ld);
    rows += groups * group_size(d);
    out += groups * V::kProductRows * ld;
    n -= groups * V::kProductRows;
    const auto rest = [&]<int R>() {
      few_rows<R>(rows, panels, d, columns, out, ld);
      rows += R * kWide;
      out += R * ld;
      n -= R;
    };
    if constexpr (V::kProductRows > 8)
      if (n >= 8) rest.template operator()<8>();
    if (n >= 4) rest.template operator()<4>();
    if (n == 3) return few_rows<3>(rows, panels, d, columns, out, ld);
    if (n == 2) return few_rows<2>(rows, panels, d, columns, out, ld);
    if (n == 1) few_rows<1>(rows, panels, d, columns, out, ld);
  }

  // ---- lengths ----
  static double square_sum(const double* x, int64_t d) {
    D sums[4] = {V::zero_d(), V::zero_d(), V::zero_d(), V::zero_d()};
    for (int64_t i = 0; i < d; i += 2 * kWide) {
      const Pair v = load(x + i, d - i);
      D* const both = sums + i / kWide % 4;
      both[0] = V::fma_d(v.low, v.low, both[0]);
      both[1] = V::fma_d(v.high, v.high, both[1]);
    }
    return V::reduce_d(V::add_d(V::add_d(sums[0], sums[1]), V::add_d(sums[2], sums[3])));
  }
  template <class T>
  static void divide(const T* x, double divisor, int64_t d, float* out) {
    const D by = V::set_d(divisor);
    for (int64_t i = 0; i < d; i += 2 * kWide) {
      const Pair v = load(x + i, d - i);
      store(out + i, V::div_d(v.low, by), V::div_d(v.high, by), d - i);
    }
  }

  static constexpr ProductKernels table() {
    return {
        .group = V::kProductRows,
        .widen = spread<float>,
        .place = spread<double>,
        .to_f32 = multiply<float>,
        .to_f64 = multiply<double>,
        .square_sum = square_sum,
        .divide_f32 = divide<float>,
        .divide_f64 = divide<double>,
    };
  }
};

}  // namespace
}  // namespace cluscomp
