// The kernels, written once over a vector type V, and their table; those of one area stand in a header of their own.
// Each kernels_<level>.cpp supplies V and fills its table.
//
// V::F 16 floats, V::D 8 doubles, V::I 16 int32, V::FineAcc and V::CoarseAcc the sums of an integer filter tile.
// The order of sums is stated in kernels.h; keep it when you change a loop.
#pragma once

#include <cmath>
#include <cstring>

#include "bit_planes_impl.h"
#include "cluscomp/kernels.h"
#include "columns_impl.h"
#include "documents_impl.h"
#include "dots_impl.h"
#include "float_filter_impl.h"
#include "int_filter_impl.h"
#include "pq_tables_impl.h"
#include "product_impl.h"
#include "score_aware_impl.h"
#include "select_impl.h"
#include "sparse_impl.h"
#include "support_impl.h"
#include "transport_impl.h"
#include "ward_impl.h"

namespace cluscomp {
namespace {

template <class V>
struct Impl {
  using F = typename V::F;
  using D = typename V::D;
  using I = typename V::I;

  // ---- loads of 16 elements, the last `n` < 16 of a row padded with zeros ----
  template <RowType T>
  static F load(const void* base, int64_t i, int64_t n) {
    if constexpr (T == RowType::f32) {
      const float* p = static_cast<const float*>(base) + i;
      return n >= kLanes ? V::load(p) : V::load_part(p, static_cast<int>(n));
    } else {
      const uint16_t* p = static_cast<const uint16_t*>(base) + i;
      alignas(64) uint16_t part[kLanes] = {};
      if (n < kLanes) {
        std::memcpy(part, p, static_cast<size_t>(n) * 2);
        p = part;
      }
      return T == RowType::f16 ? V::load_f16(p) : V::load_bf16(p);
    }
  }
  static F load_u8(const uint8_t* p, int64_t n) {
    alignas(64) uint8_t part[kLanes] = {};
    if (n < kLanes) {
      std::memcpy(part, p, static_cast<size_t>(n));
      p = part;
    }
    return V::load_u8(p);
  }

  // Runs step(accumulator, first element, elements left) in the stated order and adds everything up.
  template <class Step>
  static float sum_f32(int64_t d, Step step) {
    F a0 = V::zero(), a1 = V::zero(), a2 = V::zero(), a3 = V::zero();
    int64_t i = 0;
    for (; i + 64 <= d; i += 64) {
      a0 = step(a0, i, kLanes);
      a1 = step(a1, i + 16, kLanes);
      a2 = step(a2, i + 32, kLanes);
      a3 = step(a3, i + 48, kLanes);
    }
    if (i < d) a0 = step(a0, i, d - i);
    if (i + 16 < d) a1 = step(a1, i + 16, d - i - 16);
    if (i + 32 < d) a2 = step(a2, i + 32, d - i - 32);
    if (i + 48 < d) a3 = step(a3, i + 48, d - i - 48);
    return V::reduce(V::add(V::add(a0, a1), V::add(a2, a3)));
  }

  template <RowType T>
  static float dot_t(const float* a, const void* b, int64_t d) {
    return sum_f32(
        d, [&](F acc, int64_t i, int64_t n) { return V::fma(load<RowType::f32>(a, i, n), load<T>(b, i, n), acc); });
  }
  static float dot(const float* a, const void* b, RowType type, int64_t d) {
    switch (type) {
      case RowType::f16: return dot_t<RowType::f16>(a, b, d);
      case RowType::bf16: return dot_t<RowType::bf16>(a, b, d);
      default: return dot_t<RowType::f32>(a, b, d);
    }
  }
  template <RowType T>
  static float l2_t(const float* a, const void* b, int64_t d) {
    return sum_f32(d, [&](F acc, int64_t i, int64_t n) {
      const F diff = V::sub(load<RowType::f32>(a, i, n), load<T>(b, i, n));
      return V::fma(diff, diff, acc);
    });
  }
  static float l2(const float* a, const void* b, RowType type, int64_t d) {
    switch (type) {
      case RowType::f16: return l2_t<RowType::f16>(a, b, d);
      case RowType::bf16: return l2_t<RowType::bf16>(a, b, d);
      default: return l2_t<RowType::f32>(a, b, d);
    }
  }
  static float dot_u8(const float* a, const uint8_t* b, int64_t d) {
    return sum_f32(
        d, [&](F acc, int64_t i, int64_t n) { return V::fma(load<RowType::f32>(a, i, n), load_u8(b + i, n), acc); });
  }
  static float l2_u8(const float* a, const float* scale, const uint8_t* b, int64_t d) {
    return sum_f32(d, [&](F acc, int64_t i, int64_t n) {
      const F value = V::mul(load<RowType::f32>(scale, i, n), load_u8(b + i, n));
      const F diff = V::sub(load<RowType::f32>(a, i, n), value);
      return V::fma(diff, diff, acc);
    });
  }
  static constexpr int64_t kBytesAhead = 4096;  // codes that are asked for before they are needed
  static void dots_u8(const uint8_t* codes, int64_t n, int64_t d, const int8_t* weights, int32_t* out) {
    int32_t taken_off = 0;  // codes less kByteZero are summed
    for (int64_t j = 0; V::kByteZero && j < d; ++j) taken_off += V::kByteZero * weights[j];
    const int64_t whole = d / 64 * 64;
    uint8_t rest[64] = {};
    const int64_t far = rows_in(kBytesAhead, d);
    for (int64_t i = 0; i < n; ++i, codes += d) {
      typename V::I sum = V::zero_i();
      if (i + far < n) prefetch_bytes(codes + far * d, d);
      for (int64_t j = 0; j < whole; j += 64) V::add_dot_u8(sum, codes + j, weights + j);
      if (whole < d) {
        std::memcpy(rest, codes + whole, static_cast<size_t>(d - whole));
        V::add_dot_u8(sum, rest, weights + whole);
      }
      out[i] = V::reduce_i(sum) + taken_off;
    }
  }

  // float64: 16 elements feed two halves; two pairs of accumulators.
  template <class Step>
  static double sum_f64(int64_t d, Step step) {
    D a0 = V::zero_d(), a1 = V::zero_d(), a2 = V::zero_d(), a3 = V::zero_d();
    int64_t i = 0;
    for (; i + 32 <= d; i += 32) {
      step(a0, a1, i, kLanes);
      step(a2, a3, i + 16, kLanes);
    }
    if (i < d) step(a0, a1, i, d - i);
    if (i + 16 < d) step(a2, a3, i + 16, d - i - 16);
    return V::reduce_d(V::add_d(V::add_d(a0, a1), V::add_d(a2, a3)));
  }
  static double dot_f64(const float* a, const float* b, int64_t d) {
    return sum_f64(d, [&](D& lo, D& hi, int64_t i, int64_t n) {
      const F x = load<RowType::f32>(a, i, n), y = load<RowType::f32>(b, i, n);
      lo = V::fma_d(V::low(x), V::low(y), lo);
      hi = V::fma_d(V::high(x), V::high(y), hi);
    });
  }
  static double l2_f64(const float* a, const float* b, int64_t d) {
    return sum_f64(d, [&](D& lo, D& hi, int64_t i, int64_t n) {
      const F x = load<RowType::f32>(a, i, n), y = load<RowType::f32>(b, i, n);
      const D u = V::sub_d(V::low(x), V::low(y)), v = V::sub_d(V::high(x), V::high(y));
      lo = V::fma_d(u, u, lo);
      hi = V::fma_d(v, v, hi);
    });
  }
  static void add_f64(double* acc, const float* x, double weight, int64_t d) {
    const D w = V::set_d(weight);
    int64_t i = 0;
    for (; i + kLanes <= d; i += kLanes) {
      const F v = V::load(x + i);
      V::store_d(acc + i, V::fma_d(w, V::low(v), V::load_d(acc + i)));
      V::store_d(acc + i + 8, V::fma_d(w, V::high(v), V::load_d(acc + i + 8)));
    }
    if (i + 8 <= d) {
      V::store_d(acc + i, V::fma_d(w, V::low(V::load_part(x + i, 8)), V::load_d(acc + i)));
      i += 8;
    }
    for (; i < d; ++i) acc[i] = std::fma(weight, static_cast<double>(x[i]), acc[i]);
  }
  static void add_rounded_f64(double* acc, const float* x, double weight, const double* rounders, int64_t d) {
    const D w = V::set_d(weight);
    const auto add = [&](int64_t i, D values) {
      const D rounder = V::load_d(rounders + i);
      V::store_d(acc + i, V::add_d(V::load_d(acc + i), V::sub_d(V::fma_d(w, values, rounder), rounder)));
    };
    int64_t i = 0;
    for (; i + kLanes <= d; i += kLanes) {
      const F v = V::load(x + i);
      add(i, V::low(v));
      add(i + 8, V::high(v));
    }
    if (i + 8 <= d) {
      add(i, V::low(V::load_part(x + i, 8)));
      i += 8;
    }
    for (; i < d; ++i) acc[i] += std::fma(weight, static_cast<double>(x[i]), rounders[i]) - rounders[i];
  }
  static void load_f16(const uint16_t* x, float* out, int64_t d) {
    int64_t i = 0;
    for (; i + kLanes <= d; i += kLanes) V::store(out + i, V::load_f16(x + i));
    if (i < d) V::store_part(out + i, load<RowType::f16>(x, i, d - i), static_cast<int>(d - i));
  }

  // ---- quantising one row (d is a multiple of 16, zero-padded) ----
  static float centre(const float* x, const float* mean, float* centred, int64_t d, float* sum_sq) {
    F largest = V::zero(), squares = V::zero();
    for (int64_t i = 0; i < d; i += kLanes) {
      const F v = V::sub(V::load(x + i), V::load(mean + i));
      V::store(centred + i, v);
      largest = V::max(largest, V::abs(v));
      squares = V::fma(v, v, squares);
    }
    *sum_sq = V::reduce(squares);
    return V::reduce_max(largest);
  }
  static int32_t quantize(const float* centred, float scale, float inv_scale, int8_t* out, int64_t d, float* value_sq,
                          float* error_sq) {
    const F s = V::set(scale), inv = V::set(inv_scale);
    F values = V::zero(), errors = V::zero();
    I sum = V::zero_i();
    for (int64_t i = 0; i < d; i += kLanes) {
      const F v = V::load(centred + i);
      const I q = V::round_i(V::mul(v, inv));
      const F value = V::mul(V::to_f(q), s);
      const F error = V::sub(v, value);
      values = V::fma(value, value, values);
      errors = V::fma(error, error, errors);
      sum = V::add_i(sum, q);
      V::store_i8(out + i, q);
    }
    *value_sq = V::reduce(values);
    *error_sq = V::reduce(errors);
    return V::reduce_i(sum);
  }

  // One to four queries share a pass over the codes: V::reach<Q> keeps their sums in registers.
  static void reach_u4(const CodePair& codes, int64_t bytes, const uint8_t* const* tables, const uint16_t* thresholds,
                       int queries, uint64_t* masks, uint16_t* sums) {
    switch (queries) {
      case 1: return V::template reach<1>(codes, bytes, tables, thresholds, masks, sums);
      case 2: return V::template reach<2>(codes, bytes, tables, thresholds, masks, sums);
      case 3: return V::template reach<3>(codes, bytes, tables, thresholds, masks, sums);
      default: return V::template reach<4>(codes, bytes, tables, thresholds, masks, sums);
    }
  }

  static constexpr Kernels table(const char* name) {
    return {
        .name = name,
        .fine = IntFilterImpl<V>::template table<typename V::FineAcc>(),
        .coarse = IntFilterImpl<V>::template table<typename V::CoarseAcc>(),
        .dot_f64 = dot_f64,
        .l2_f64 = l2_f64,
        .dot = dot,
        .l2 = l2,
        .dots = Dots<V>::dots,
        .squares = Dots<V>::squares,
        .dot_u8 = dot_u8,
        .l2_u8 = l2_u8,
        .dots_u8 = dots_u8,
        .add_f64 = add_f64,
        .add_rounded_f64 = add_rounded_f64,
        .load_f16 = load_f16,
        .centre = centre,
        .quantize = quantize,
        .filter_f32 = FloatFilter<V>::filter_f32,
        .top2_f32 = FloatFilter<V>::top2_f32,
        .max_score = Select<V>::max_score,
        .select = Select<V>::select,
        .columns_f32 = Columns<V>::columns_f32,
        .columns_i16 = Columns<V>::columns_i16,
        .start_i32 = Columns<V>::start_i32,
        .top2_i16 = Columns<V>::top2_i16,
        .select_below = Select<V>::select_below,
        .sparse_scores = sparse_scores<V>,
        .table_dot = PqTables<V>::table_dot,
        .table_l2 = PqTables<V>::table_l2,
        .score_aware = ScoreAware<V>::choose,
        .byte_tables = PqTables<V>::byte_tables,
        .reach_u4 = reach_u4,
        .transport = TransportImpl<V>::table(),
        .ward = WardImpl<V>::table(),
        .documents = DocumentsImpl::table(),
        .support = SupportImpl<V>::table(),
        .planes = BitPlanes<V>::table(),
        .product = ProductImpl<V>::table(),
    };
  }
};

}  // namespace
}  // namespace cluscomp
