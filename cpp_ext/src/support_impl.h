// Kernels of support_kernels.h over a vector type V (kernels_impl.h).
#pragma once

#include <algorithm>
#include <limits>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct SupportImpl {
  using F = typename V::F;
  using I = typename V::I;

  // Row numbers travel as floats, as panel numbers do in tile_top2.
  struct Largest {
    F product, row;
  };
  template <int R>
  static void tile(const int32_t* rows, int64_t row, const int32_t* lanes, int64_t pairs, Largest& best) {
    I sums[R];
    for (int i = 0; i < R; ++i) sums[i] = V::zero_i();
    const int32_t* own = rows + row / kLanes * pairs * kLanes + row % kLanes;
    for (int64_t p = 0; p < pairs; ++p, own += kLanes) {
      const I columns = V::load_i(lanes + p * kLanes);
      for (int i = 0; i < R; ++i) V::add_dot_i16(sums[i], columns, V::set_i(own[i]));
    }
    for (int i = 0; i < R; ++i) {
      const F product = V::to_f(sums[i]);
      best.row = V::blend(best.row, V::set(static_cast<float>(row + i)), V::greater(product, best.product));
      best.product = V::max(product, best.product);
    }
  }
  static void largest_i16(const int32_t* rows, int64_t n, const int32_t* lanes, int64_t pairs, float* best,
                          int32_t* position) {
    constexpr int R = V::kGramRows;
    Largest found{V::set(-std::numeric_limits<float>::infinity()), V::zero()};
    int64_t row = 0;
    for (; row + R <= n; row += R) tile<R>(rows, row, lanes, pairs, found);
    for (; row < n; ++row) tile<1>(rows, row, lanes, pairs, found);
    V::store(best, found.product);
    V::store_i(position, V::round_i(found.row));
  }

  static constexpr int kTogether = 4;  // rows that share the loads of p, and of out

  static void apply_normal(const float* x, int64_t d, const int32_t* rows, int64_t n, const float* p, float* out) {
    std::fill(out, out + d, 0.0f);
    int64_t i = 0;
    for (; i + kTogether <= n; i += kTogether) {
      float weights[kTogether];
      products<kTogether>(x, d, rows + i, p, weights);
      add<kTogether>(x, d, rows + i, weights, out);
    }
    for (; i < n; ++i) {
      float weight;
      products<1>(x, d, rows + i, p, &weight);
      add<1>(x, d, rows + i, &weight, out);
    }
  }

  static void weighted_sum(const float* x, int64_t d, const int32_t* rows, int64_t n, const float* weights,
                           float* out) {
    std::fill(out, out + d, 0.0f);
    for (int64_t i = 0; i < n; ++i) add<1>(x, d, rows + i, weights + rows[i], out);
  }

  template <int R>
  static void products(const float* x, int64_t d, const int32_t* rows, const float* p, float* out) {
    F sums[R];
    const float* row[R];
    for (int r = 0; r < R; ++r) {
      sums[r] = V::zero();
      row[r] = x + rows[r] * d;
    }
    for (int64_t j = 0; j < d; j += kLanes) {
      const F value = V::load(p + j);
      for (int r = 0; r < R; ++r) sums[r] = V::fma(V::load(row[r] + j), value, sums[r]);
    }
    for (int r = 0; r < R; ++r) out[r] = V::reduce(sums[r]);
  }

  template <int R>
  static void add(const float* x, int64_t d, const int32_t* rows, const float* weights, float* out) {
    F weight[R];
    const float* row[R];
    for (int r = 0; r < R; ++r) {
      weight[r] = V::set(weights[r]);
      row[r] = x + rows[r] * d;
    }
    for (int64_t j = 0; j < d; j += kLanes) {
      F sum = V::load(out + j);
      for (int r = 0; r < R; ++r) sum = V::fma(V::load(row[r] + j), weight[r], sum);
      V::store(out + j, sum);
    }
  }

  static constexpr SupportKernels table() {
    return {.largest_i16 = largest_i16, .apply_normal = apply_normal, .weighted_sum = weighted_sum};
  }
};

}  // namespace
}  // namespace cluscomp
