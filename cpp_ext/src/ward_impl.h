// Kernels of agglomerative clustering, see ward_kernels.h, over a vector type V (kernels_impl.h). Plain loops are
// vectorised by the compiler with the flags of the file that includes them; each of their operations is on one
// element, so the width changes no bit.
#pragma once

#include <limits>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct WardImpl {
  using F = typename V::F;
  using D = typename V::D;
  using I = typename V::I;
  static constexpr float kNone = std::numeric_limits<float>::infinity();

  // Lane l of first and next holds the two smallest values at positions l, l + 16, ...
  static void nearest(const double* row, int64_t n, double* best, int64_t* position, double* second) {
    constexpr double kNone = std::numeric_limits<double>::infinity();
    double first[kLanes], next[kLanes];
    for (int l = 0; l < kLanes; ++l) first[l] = next[l] = kNone;
    for (int64_t i = 0; i < n; i += kLanes) {
      for (int l = 0; l < kLanes; ++l) {
        const double value = row[i + l];
        const double larger = value > first[l] ? value : first[l];
        next[l] = larger < next[l] ? larger : next[l];
        first[l] = value < first[l] ? value : first[l];
      }
    }
    int lane = 0;
    for (int l = 1; l < kLanes; ++l) lane = first[l] < first[lane] ? l : lane;
    double other = next[lane];
    for (int l = 0; l < kLanes; ++l)
      if (l != lane && first[l] < other) other = first[l];
    *best = first[lane];
    *second = other;
    int64_t at = 0;
    while (row[at] != *best && at + 1 < n) ++at;
    *position = at;
  }

  static void merge(double* a, const double* b, const double* s, int64_t n, double sa, double sb, double ab) {
    for (int64_t i = 0; i < n; ++i) {
      const double value = ((sa + s[i]) * a[i] + (sb + s[i]) * b[i] - s[i] * ab) / (sa + sb + s[i]);
      a[i] = value > 0 ? value : 0;
    }
  }

  static void add(double* sums, const float* part, int64_t n) {
    for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(part[i]);
  }

  static void cosines(double* dots, const double* inverses, double inverse, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      double value = 1 - dots[i] * inverse * inverses[i];
      value = value > 0 ? value : 0;
      value = value < 2 ? value : 2;
      dots[i] = value * value;
    }
  }

  static void add_f32(float* sums, const float* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) sums[i] += x[i];
  }

  static void round_columns(const float* columns, int64_t d, int64_t pairs, float scale, int32_t* out, float* errors) {
    const F s = V::set(scale);
    F lost = V::zero();
    for (int64_t p = 0; p < pairs; ++p) {
      I whole[2];
      for (int64_t j = 0; j < 2; ++j) {
        const F value = 2 * p + j < d ? V::mul(V::load(columns + (2 * p + j) * kLanes), s) : V::zero();
        whole[j] = V::round_i(value);
        const F rest = V::sub(value, V::to_f(whole[j]));
        lost = V::fma(rest, rest, lost);
      }
      V::store_i(out + p * kLanes, V::pair_i16(whole[0], whole[1]));
    }
    V::store(errors, lost);
  }

  static void gram_i16(const int32_t* a, const int32_t* b, int64_t pairs, float* out, int64_t ld) {
    constexpr int R = V::kGramRows;
    for (int r = 0; r < kLanes; r += R) {
      I sums[R];
      for (int i = 0; i < R; ++i) sums[i] = V::zero_i();
      const int32_t* rows = a + r;
      for (int64_t p = 0; p < pairs; ++p, rows += kLanes) {
        const I columns = V::load_i(b + p * kLanes);
        for (int i = 0; i < R; ++i) V::add_dot_i16(sums[i], columns, V::set_i(rows[i]));
      }
      for (int i = 0; i < R; ++i) V::store(out + (r + i) * ld, V::to_f(sums[i]));
    }
  }

  template <class Height>
  static void look(float* heights, int64_t n, float* best, int64_t* position, float* second, Height height_at) {
    F first = V::set(kNone), next = first;
    for (int64_t i = 0; i < n; i += kLanes) {
      const F height = V::max(height_at(i), V::zero());
      V::store(heights + i, height);
      next = V::min(next, V::max(height, first));
      first = V::min(first, height);
    }
    *best = reduce_min(first);
    *position = find(heights, n, *best);
    const uint32_t lanes = V::not_less(V::set(*best), first);  // those of the smallest: one but for ties
    const bool tied = (lanes & (lanes - 1)) != 0;
    *second = tied ? *best : reduce_min(V::blend(next, first, V::greater(first, V::set(*best))));
  }

  static void single_heights(const float* products, const WardClusters& all, float power, float* heights, float* best,
                             int64_t* position, float* second) {
    const F own_power = V::set(power), minus_two = V::set(-2.0f);
    look(heights, all.ld, best, position, second, [&](int64_t i) {
      return V::fma(V::load(products + i), minus_two, V::add(own_power, V::load(all.power + i)));
    });
  }

  static void heights(const float* products, const WardClusters& all, float size, float power, float* heights,
                      float* best, int64_t* position, float* second) {
    const F own_size = V::set(size), own_power = V::set(power), minus_two = V::set(-2.0f);
    look(heights, all.ld, best, position, second, [&](int64_t i) {
      const F sizes = V::load(all.sizes + i);
      const F powers = V::fma(sizes, own_power, V::mul(own_size, V::load(all.power + i)));
      const F value = V::fma(V::load(products + i), minus_two, powers);
      return V::div(V::add(value, value), V::add(own_size, sizes));
    });
  }

  static float smallest(const float* values, int64_t n, int64_t* position) {
    F first = V::load(values);
    for (int64_t i = kLanes; i < n; i += kLanes) first = V::min(first, V::load(values + i));
    const float best = reduce_min(first);
    *position = find(values, n, best);
    return best;
  }

  static float reduce_min(const F& a) { return 0.0f - V::reduce_max(V::sub(V::zero(), a)); }

  // Lowest position of the smallest value.
  static int64_t find(const float* values, int64_t n, float smallest) {
    const F wanted = V::set(smallest);
    for (int64_t i = 0; i < n; i += kLanes) {
      const uint32_t mask = V::not_less(wanted, V::load(values + i));
      if (mask != 0) return i + __builtin_ctz(mask);
    }
    return 0;
  }

  static void limits(const float* slack, int64_t n, float root, float* out) {
    for (int64_t i = 0; i < n; ++i) out[i] = (root + slack[i]) * (root + slack[i]);
  }

  // A product by a size is exact where equal rows have to give exactly 0.
  template <class Other>
  static double weighted(const double* a, double wa, double wb, int64_t d, Other other) {
    const D va = V::set_d(wa), vb = V::set_d(-wb);
    D sums[4] = {V::zero_d(), V::zero_d(), V::zero_d(), V::zero_d()};
    for (int64_t i = 0; i < d; i += 16) {
      D b[2];
      other(i, b[0], b[1]);
      for (int h = 0; h < 2; ++h) {
        const D rest = V::fma_d(b[h], vb, V::fma_d(V::load_d(a + i + 8 * h), va, V::zero_d()));
        D& sum = sums[i / 16 % 2 * 2 + h];
        sum = V::fma_d(rest, rest, sum);
      }
    }
    return V::reduce_d(V::add_d(V::add_d(sums[0], sums[1]), V::add_d(sums[2], sums[3])));
  }
  static double weighted_l2(const double* a, double wa, const double* b, double wb, int64_t d) {
    return weighted(a, wa, wb, d, [&](int64_t i, D& lo, D& hi) {
      lo = V::load_d(b + i);
      hi = V::load_d(b + i + 8);
    });
  }
  static double weighted_l2_row(const double* a, double wa, const float* b, double wb, int64_t d) {
    return weighted(a, wa, wb, d, [&](int64_t i, D& lo, D& hi) {
      const F row = V::load(b + i);
      lo = V::low(row);
      hi = V::high(row);
    });
  }

  static void add_f64(double* sums, const double* x, int64_t d) {
    for (int64_t i = 0; i < d; ++i) sums[i] += x[i];
  }
  static void add_rows(double* sums, const float* a, const float* b, int64_t d) {
    for (int64_t i = 0; i < d; ++i) sums[i] = static_cast<double>(a[i]) + static_cast<double>(b[i]);
  }

  static constexpr WardKernels table() {
    return {
        .nearest = nearest,
        .merge = merge,
        .add = add,
        .cosines = cosines,
        .add_f32 = add_f32,
        .round_columns = round_columns,
        .gram_i16 = gram_i16,
        .single_heights = single_heights,
        .heights = heights,
        .smallest = smallest,
        .limits = limits,
        .weighted_l2 = weighted_l2,
        .weighted_l2_row = weighted_l2_row,
        .add_f64 = add_f64,
        .add_rows = add_rows,
    };
  }
};

}  // namespace
}  // namespace cluscomp
