// k-medoids by eager swaps: FasterPAM (Schubert and Rousseeuw, "Fast and eager k-medoids clustering", Information
// Systems 101, 2021) on a symmetric matrix of dissimilarities.
//
// Each point knows its nearest and second nearest medoid. A candidate is scored in one pass over its row: points
// nearer to it than to their second medoid are found by a vector compare, and only they are summed, in float64 and in
// point order. The first candidate that lowers the total is swapped in at once, whatever thread found it, so the
// sequence of swaps depends on no thread count and no instruction set.
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/rows.h"

namespace cluscomp {

// out (n, n): |a - b|^2 of all pairs of rows begin <= i < end with j <= i, mirrored; float32 sums as in kernels.h.
void squared_distances(const RowsView& x, int64_t begin, int64_t end, float* out);

class MedoidSearch {
 public:
  // matrix: (n, n) symmetric, finite, kept by the caller. medoids: k different points, 1 <= k <= n.
  MedoidSearch(const float* matrix, int64_t n, const int64_t* medoids, int64_t k);

  // Goes on until a whole round brought no swap, or `candidates` more have been scored or `swaps` made; true when
  // settled.
  bool run(int64_t candidates, int64_t swaps);

  int64_t n() const { return n_; }
  int64_t k() const { return static_cast<int64_t>(medoids_.size()); }
  const std::vector<int64_t>& medoids() const { return medoids_; }
  int64_t swaps() const { return swaps_; }
  int64_t scored() const { return scored_; }
  double loss() const { return loss_; }

 private:
  struct Swap {
    double change;
    int64_t slot;
  };
  const float* matrix_;
  int64_t n_, next_ = 0, quiet_ = 0, swaps_ = 0, scored_ = 0;
  double loss_ = 0;
  std::vector<int64_t> medoids_;
  std::vector<uint8_t> is_medoid_;
  std::vector<int32_t> near_, second_;    // slots in medoids_
  std::vector<float> near_d_, second_d_;  // infinity where k = 1
  std::vector<double> removal_;           // how much the loss grows when a medoid goes, per slot

  const float* row(int64_t i) const { return matrix_ + i * n_; }
  Swap best_swap(int64_t candidate) const;
  int64_t first_improving(int64_t count, Swap* found) const;
  void choose(int64_t point);
  void find_second(int64_t point);
  void replace(int64_t point, int32_t slot, float distance);
  void swap_in(int64_t candidate, int64_t slot);
  void sum_up();
};

}  // namespace cluscomp
