// The integer filters (kernels.h), written once over a vector type V and its sums Acc, FineAcc or CoarseAcc.
#pragma once

#include <cstdint>

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

template <class V>
struct IntFilterImpl {
  using I = typename V::I;
  using F = typename V::F;

  static void bound(I product, const float* terms, const float* row_terms, int32_t row_sum, float* out) {
    const F integer = V::to_f(V::sub_i(product, V::set_i(row_sum)));
    const F scale = V::mul(V::set(row_terms[0]), V::load(terms));
    F score = V::fma(integer, scale, V::load(terms + kLanes));
    score = V::fma(V::set(row_terms[1]), V::load(terms + 2 * kLanes), score);
    score = V::fma(V::set(row_terms[2]), V::load(terms + 3 * kLanes), score);
    V::store(out, score);
  }
  template <class Acc, int R, int P>
  static void tile_i8(const int8_t* x, const uint8_t* panels, const float* terms, const float* row_terms,
                      const int32_t* row_sum, int64_t d4, float* out, int64_t ld) {
    Acc acc[R][P];
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < P; ++p) acc[r][p].clear();
    int64_t j = 0;
    while (j < d4) {
      const int64_t stop = Acc::kFlush ? (j + Acc::kFlush < d4 ? j + Acc::kFlush : d4) : d4;
      for (; j < stop; ++j) {
        typename V::Bytes c[P];
        for (int p = 0; p < P; ++p) c[p] = V::load_bytes(panels + (p * d4 + j) * (4 * kLanes));
        for (int r = 0; r < R; ++r) {
          const auto v = V::broadcast4(x + (r * d4 + j) * 4);
          for (int p = 0; p < P; ++p) acc[r][p].dot4(c[p], v);
        }
      }
      if (Acc::kFlush)
        for (int r = 0; r < R; ++r)
          for (int p = 0; p < P; ++p) acc[r][p].flush();
    }
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < P; ++p)
        bound(acc[r][p].total(), terms + p * 4 * kLanes, row_terms + r * 4, row_sum[r], out + r * ld + p * kLanes);
  }
  template <class Acc, int P>
  static void column_i8(const int8_t* x, int rows, const uint8_t* panels, const float* terms, const float* row_terms,
                        const int32_t* row_sum, int64_t d4, float* out, int64_t ld) {
    int r = 0;
    for (; r + V::kRows <= rows; r += V::kRows)
      tile_i8<Acc, V::kRows, P>(x + r * d4 * 4, panels, terms, row_terms + r * 4, row_sum + r, d4, out + r * ld, ld);
    for (; r < rows; ++r)
      tile_i8<Acc, 1, P>(x + r * d4 * 4, panels, terms, row_terms + r * 4, row_sum + r, d4, out + r * ld, ld);
  }
  // Panels are taken P at a time; what is left over goes one by one.
  template <class Acc, int P>
  static void panels_i8(const int8_t* x, int rows, const uint8_t* panels, const float* terms, const float* row_terms,
                        const int32_t* row_sum, int n_panels, int64_t d4, float* out, int64_t ld) {
    int p = 0;
    const int64_t panel_bytes = d4 * 4 * kLanes;
    for (; p + P <= n_panels; p += P)
      column_i8<Acc, P>(x, rows, panels + p * panel_bytes, terms + p * 4 * kLanes, row_terms, row_sum, d4,
                        out + p * kLanes, ld);
    for (; p < n_panels; ++p)
      column_i8<Acc, 1>(x, rows, panels + p * panel_bytes, terms + p * 4 * kLanes, row_terms, row_sum, d4,
                        out + p * kLanes, ld);
  }
  // One row has too few sums of its own to hide the latency of a multiplication: it takes more panels at a time.
  template <class Acc>
  static void filter_i8(const int8_t* x, int rows, const uint8_t* panels, const float* terms, const float* row_terms,
                        const int32_t* row_sum, int n_panels, int64_t d4, float* out, int64_t ld) {
    if (rows == 1) {
      panels_i8<Acc, 4>(x, rows, panels, terms, row_terms, row_sum, n_panels, d4, out, ld);
    } else {
      panels_i8<Acc, V::kPanels>(x, rows, panels, terms, row_terms, row_sum, n_panels, d4, out, ld);
    }
  }

  template <class Acc>
  static constexpr IntFilter table() {
    return {
        .row_max = Acc::kRowMax, .centroid_max = Acc::kCentroidMax, .offset = Acc::kOffset, .bounds = filter_i8<Acc>};
  }
};

}  // namespace
}  // namespace cluscomp
