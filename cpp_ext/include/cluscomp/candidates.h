// The few best centroids of every row under prices: what a capacity-constrained assignment chooses from.
//
// Objective of assign.h with bias = -price. The cost of a pair is a float32 value in a fixed order of sums,
//     cost(x, c) = -(<x', c'> + b(c))        x' = x - mu, c' = c - mu
// (l2: |x - c|^2 / 2, ip: -<x, c>, each up to a term of the row alone). An integer filter bounds all pairs; those that
// can be among the best are computed. So lists depend on no block size, thread count or instruction set.
#pragma once

#include <optional>
#include <vector>

#include "cluscomp/assign.h"

namespace cluscomp {

class Candidates {
 public:
  // centroids: (k, d) row-major. prices: (k).
  Candidates(const float* centroids, int64_t k, int64_t d, Metric metric, const double* prices);

  // ids and costs (n, length), by cost + price ascending, then id; length <= k. costs are without the price.
  void nearest(const RowsView& x, int64_t length, int32_t* ids, float* costs) const;

  int64_t k() const { return k_; }
  int64_t d() const { return d_; }

 private:
  struct Scratch;

  const Kernels& kern_;
  int64_t k_, d_, ld_;
  bool integer_;
  std::vector<float> mean_, centred_;  // (ld) and (k, ld)
  std::vector<double> terms_, prices_, bias_;
  IntPanels int_panels_;
  FloatPanels float_panels_;
  float largest_norm_ = 0, largest_bias_ = 0;

  void bound_rows(const RowsView& x, int64_t begin, int64_t rows, Scratch& s) const;
  void best_of_row(int64_t row, int64_t length, int32_t* ids, float* costs, Scratch& s) const;
  void compute(int64_t row, float least, std::optional<float> done, Scratch& s) const;
};

// cost_out (n): the cost of each row with one centroid: squared distance (l2) or inner product (ip), in float64.
void pair_scores(const RowsView& x, const float* centroids, int64_t d, Metric metric, const int32_t* labels,
                 double* out);

}  // namespace cluscomp
