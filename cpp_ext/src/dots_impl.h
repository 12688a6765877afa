// Sums of rows with rows (kernels.h), several at a time so that additions do not wait for each other. Each sum is made
// in the stated order, so that it has the bits of one made alone.
#pragma once

#include <cstdint>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct Dots {
  using F = typename V::F;

  struct Product {
    static F step(F a, F b, F acc) { return V::fma(a, b, acc); }
  };
  struct Square {
    static F step(F a, F b, F acc) {
      const F diff = V::sub(a, b);
      return V::fma(diff, diff, acc);
    }
  };

  // Sums of Q rows with R rows. Written out, so that they stay in registers.
  template <class Op, int Q, int R>
  struct Tile {
    F sums[4][Q][R];

    Tile() {
      for (auto& quarter : sums)
        for (auto& row : quarter)
          for (F& sum : row) sum = V::zero();
    }
    template <int T, class Load>
    void add(const float* a, const float* b, int64_t d, Load load) {
      F x[Q];
      for (int q = 0; q < Q; ++q) x[q] = load(a + q * d);
      for (int r = 0; r < R; ++r) {
        const F y = load(b + r * d);
        for (int q = 0; q < Q; ++q) sums[T][q][r] = Op::step(x[q], y, sums[T][q][r]);
      }
    }
    template <int T>
    void add_rest(const float* a, const float* b, int64_t d, int64_t i) {
      const auto left = static_cast<int>(d - i);
      if (left >= kLanes)
        add<T>(a + i, b + i, d, [](const float* p) { return V::load(p); });
      else if (left > 0)
        add<T>(a + i, b + i, d, [left](const float* p) { return V::load_part(p, left); });
    }
  };
  template <class Op, int Q, int R>
  static void tile(const float* a, const float* b, int64_t d, float* out, int64_t ld) {
    Tile<Op, Q, R> tile;
    const auto load = [](const float* p) { return V::load(p); };
    int64_t i = 0;
    for (; i + 64 <= d; i += 64) {
      tile.template add<0>(a + i, b + i, d, load);
      tile.template add<1>(a + i + 16, b + i + 16, d, load);
      tile.template add<2>(a + i + 32, b + i + 32, d, load);
      tile.template add<3>(a + i + 48, b + i + 48, d, load);
    }
    tile.template add_rest<0>(a, b, d, i);
    tile.template add_rest<1>(a, b, d, i + 16);
    tile.template add_rest<2>(a, b, d, i + 32);
    tile.template add_rest<3>(a, b, d, i + 48);
    const auto& s = tile.sums;
    for (int q = 0; q < Q; ++q)
      for (int r = 0; r < R; ++r)
        out[q * ld + r] = V::reduce(V::add(V::add(s[0][q][r], s[1][q][r]), V::add(s[2][q][r], s[3][q][r])));
  }
  template <class Op, int Q>
  static void across(const float* a, const float* b, int64_t n, int64_t d, float* out, int64_t ld) {
    int64_t r = 0;
    for (; r + V::kDotRows <= n; r += V::kDotRows) tile<Op, Q, V::kDotRows>(a, b + r * d, d, out + r, ld);
    for (; r < n; ++r) tile<Op, Q, 1>(a, b + r * d, d, out + r, ld);
  }
  template <class Op>
  static void all(const float* a, int64_t m, const float* b, int64_t n, int64_t d, float* out, int64_t ld) {
    int64_t q = 0;
    for (; q + V::kDotRows <= m; q += V::kDotRows) across<Op, V::kDotRows>(a + q * d, b, n, d, out + q * ld, ld);
    for (; q < m; ++q) across<Op, 1>(a + q * d, b, n, d, out + q * ld, ld);
  }
  static void dots(const float* a, int64_t m, const float* b, int64_t n, int64_t d, float* out, int64_t ld) {
    all<Product>(a, m, b, n, d, out, ld);
  }
  static void squares(const float* a, int64_t m, const float* b, int64_t n, int64_t d, float* out, int64_t ld) {
    all<Square>(a, m, b, n, d, out, ld);
  }
};

}  // namespace
}  // namespace cluscomp
