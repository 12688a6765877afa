// Exact nearest-centroid assignment: a cheap filter bounds every pair from above, float64 decides the few pairs that
// the bounds leave open. Labels are therefore those of float64 arithmetic, whatever filter, block size, number of
// threads or instruction set was used. Ties go to the lowest index.
//
// With mu = mean of the centroids, x' = x - mu, c' = c - mu, the pair with the largest
//     s(x, c) = <x', c'> + b(c)        b = -|c'|^2 / 2 + bias (l2)     b = <mu, c'> + bias (inner product)
// is the answer. Centring makes a common offset cancel and keeps the norms in the bounds small.
// Integer filter: x' = X + ex and c' = C + ec with X, C dequantised integers, so by Cauchy-Schwarz
//     s <= <X, C> + b + |X| |ec| + |ex| |c'|.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "cluscomp/columns.h"
#include "cluscomp/pack.h"
#include "cluscomp/prefix_filter.h"
#include "cluscomp/rows.h"

namespace cluscomp {

enum class Metric { l2, ip };
// i8: the fine integer filter, i6: the coarse one; i16: short rows, a row a lane (columns.h); prefix: rotated
// dimensions first (prefix_filter.h).
enum class Filter { none, f32, i8, i6, i16, prefix };

// Directions (d, m) row after row, nearly orthonormal, m a multiple of 16: those in which rows vary most.
struct Basis {
  const float* values = nullptr;
  int64_t m = 0;
};

class Assigner {
 public:
  // centroids: (k, d) row-major. bias: (k) or null; l2 minimises |x - c|^2 / 2 - bias, ip maximises <x, c> + bias.
  // basis: what the filter `prefix` reads, which is then the first; it changes the time, never the result.
  Assigner(const float* centroids, int64_t k, int64_t d, Metric metric, const float* bias, Basis basis = {});

  // labels (n); scores (n) or null: squared distance (l2) or inner product (ip), without the bias.
  // hints (n) or null: labels to try first; they change the time, never the result.
  // Returns the number of pairs decided in float64.
  int64_t assign(const RowsView& x, const int32_t* hints, int32_t* labels, float* scores) const;

  int64_t k() const { return k_; }
  int64_t d() const { return d_; }
  Filter filter() const { return filter_; }
  bool has_prefix() const { return prefix_.has_value(); }
  void force_filter(Filter filter) { filter_ = filter; }  // tests compare the filters

 private:
  struct Scratch;
  struct Best;

  const Kernels& kern_;
  int64_t k_, d_, ld_;
  Metric metric_;
  Filter filter_, behind_prefix_;
  std::vector<float> centroids_, mean_;  // (k, ld) and (ld), zero-padded
  std::vector<double> bias_, terms_;     // as given; and b(c)
  // Panels are made when a filter first runs.
  mutable std::once_flag float_once_, fine_once_, coarse_once_, column_once_;
  mutable FloatPanels float_panels_;
  mutable IntPanels fine_panels_, coarse_panels_;
  mutable ColumnPanels column_panels_;
  std::optional<PrefixFilter> prefix_;

  void set_terms();
  void make_panels(Filter filter) const;
  void consider(const float* x, int64_t c, Best& best) const;
  float threshold(const Best& best, float row_sq, double row_dot) const;
  int64_t assign_block(const RowsView& x, int64_t begin, int64_t end, Filter filter, const int32_t* hints,
                       int32_t* labels, float* scores, Scratch& scratch) const;
  int64_t assign_short_rows(const RowsView& x, int64_t begin, int64_t end, int32_t* labels, float* scores,
                            Scratch& scratch) const;
  int64_t decide_open_rows(const RowsView& x, int64_t begin, const int32_t* open, int64_t count, int32_t* labels,
                           float* scores, Scratch& scratch) const;
  void prepare_row(int64_t row, Scratch& scratch) const;
  int64_t verify_all(int64_t rows, Scratch& scratch) const;
  int64_t verify_f32(int64_t rows, bool with_scores, Scratch& scratch) const;
  int64_t verify_int(const IntFilter& filter, const IntPanels& panels, int64_t rows, Scratch& scratch) const;
  int64_t verify_prefix(int64_t rows, Scratch& scratch) const;
  int64_t verify_tile(const float* bounds, int64_t row, int64_t first, int64_t width, float slack, Best& best,
                      Scratch& scratch, const PrefixFilter* prefix = nullptr) const;
};

}  // namespace cluscomp
