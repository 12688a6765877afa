// The kernels of transport_kernels.h, written once over a vector type (see kernels_impl.h).
#pragma once

#include <cmath>
#include <limits>

#include "cluscomp/rows.h"
#include "cluscomp/transport_kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct TransportImpl {
  using F = typename V::F;
  using D = typename V::D;
  using I = typename V::I;
  static constexpr int64_t kWide = 16;

  static F load(const float* p, int64_t n) { return n >= kWide ? V::load(p) : V::load_part(p, static_cast<int>(n)); }

  // Nearest whole number (ties to even) for |t| < 2^51: the addition leaves no bits behind the point.
  static D whole(D t) {
    const D magic = V::set_d(0x1.8p52);
    return V::sub_d(V::add_d(t, magic), magic);
  }
  static D exponent(D cost, const double* shift, D row_shift, D minus_scale) {
    const D t = V::fma_d(cost, minus_scale, V::add_d(V::load_d(shift), row_shift));
    return V::max_d(V::min_d(t, V::set_d(127.0)), V::set_d(-127.0));
  }
  static F entry(F cost, const double* shift, D row_shift, D minus_scale) {
    const D lo = exponent(V::low(cost), shift, row_shift, minus_scale);
    const D hi = exponent(V::high(cost), shift + 8, row_shift, minus_scale);
    const D whole_lo = whole(lo), whole_hi = whole(hi);
    const F f = V::narrow(V::sub_d(lo, whole_lo), V::sub_d(hi, whole_hi));
    F p = V::set(0.00015353361959569156f);
    p = V::fma(p, f, V::set(0.0013398875016719103f));
    p = V::fma(p, f, V::set(0.00961843691766262f));
    p = V::fma(p, f, V::set(0.055503323674201965f));
    p = V::fma(p, f, V::set(0.24022647738456726f));
    p = V::fma(p, f, V::set(0.6931471824645996f));
    p = V::fma(p, f, V::set(1.0f));
    return V::mul(p, V::pow2(V::round_i(V::narrow(whole_lo, whole_hi))));
  }

  static double exp_row(const float* cost, int64_t k, const double* shift, double row_shift, double scale, float* out) {
    const D rs = V::set_d(row_shift), ms = V::set_d(-scale);
    D total_lo = V::zero_d(), total_hi = V::zero_d();
    for (int64_t j = 0; j < k;) {
      const int64_t stop = j + 8 * kWide < k ? j + 8 * kWide : k;
      F sum = V::zero();
      for (; j < stop; j += kWide) {
        const F e = entry(load(cost + j, k - j), shift + j, rs, ms);
        V::store(out + j, e);
        sum = V::add(sum, e);
      }
      total_lo = V::add_d(total_lo, V::low(sum));
      total_hi = V::add_d(total_hi, V::high(sum));
    }
    return V::reduce_d(V::add_d(total_lo, total_hi));
  }
  static void exp_rows(const float* cost, int64_t ld, int rows, int64_t k, const double* shift, const double* row_shift,
                       double scale, float* out, int64_t ld_out, double* sums) {
    for (int r = 0; r < rows; ++r) sums[r] = exp_row(cost + r * ld, k, shift, row_shift[r], scale, out + r * ld_out);
  }

  static void add_rows(const float* entry_rows, int64_t ld, int rows, int64_t k, const float* weight, double* acc) {
    for (int first = 0; first < rows; first += 8) {
      const int here = rows - first < 8 ? rows - first : 8;
      const float* at = entry_rows + first * ld;
      for (int64_t j = 0; j < k; j += kWide) {
        F sum = V::zero();
        for (int r = 0; r < here; ++r) sum = V::fma(V::set(weight[first + r]), V::load(at + r * ld + j), sum);
        V::store_d(acc + j, V::add_d(V::load_d(acc + j), V::low(sum)));
        V::store_d(acc + j + 8, V::add_d(V::load_d(acc + j + 8), V::high(sum)));
      }
    }
  }

  static double best(const float* cost, int64_t k, const double* shift, double scale, int64_t* position) {
    const D ms = V::set_d(-scale);
    D most = V::set_d(-std::numeric_limits<double>::infinity());
    for (int64_t j = 0; j < k; j += kWide) {
      const F c = load(cost + j, k - j);
      most = V::max_d(most, V::fma_d(V::low(c), ms, V::load_d(shift + j)));
      most = V::max_d(most, V::fma_d(V::high(c), ms, V::load_d(shift + j + 8)));
    }
    alignas(64) double lanes[8];
    V::store_d(lanes, most);
    double value = lanes[0];
    for (double lane : lanes) value = lane > value ? lane : value;
    *position = 0;
    for (int64_t j = 0; j < k; ++j)
      if (std::fma(static_cast<double>(cost[j]), -scale, shift[j]) == value) {
        *position = j;
        break;
      }
    return value;
  }

  static void raise(const float* cost, int64_t ld, int rows, int64_t k, const double* row_shift, double scale,
                    double* most) {
    const D ms = V::set_d(-scale);
    for (int64_t j = 0; j < k; j += kWide) {
      D lo = V::load_d(most + j), hi = V::load_d(most + j + 8);
      for (int r = 0; r < rows; ++r) {
        const F c = load(cost + r * ld + j, k - j);
        const D rs = V::set_d(row_shift[r]);
        lo = V::max_d(lo, V::fma_d(V::low(c), ms, rs));
        hi = V::max_d(hi, V::fma_d(V::high(c), ms, rs));
      }
      V::store_d(most + j, lo);
      V::store_d(most + j + 8, hi);
    }
  }

  static constexpr TransportKernels table() {
    return {.exp_rows = exp_rows, .add_rows = add_rows, .best = best, .raise = raise};
  }
};

}  // namespace
}  // namespace cluscomp
