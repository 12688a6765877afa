// Sparse rows (CSR) against dense centroids by inner product, exactly: nothing of size n x k or n x d is made.
//
// float32 sums over the non-zeros of a row score 64 centroids at a time; those within the rounding error of the best
// are decided in float64, the lowest index winning a tie. A row may be skipped: by Cauchy-Schwarz no score can have
// grown by more than |x| times the centroid's movement, so a row whose own centroid still leads the bound on all others
// keeps it.
#pragma once

#include <cstdint>
#include <memory>

namespace cluscomp {

struct SparseRows {
  const int64_t* start;    // (n + 1)
  const int32_t* columns;  // ascending inside a row, in [0, d)
  const float* values;
  int64_t n, d;
};

class SparseAssigner {
 public:
  SparseAssigner(const float* centroids, int64_t k, int64_t d);

  // labels (n) in and out when `others` is given, else out; scores (n): inner products. others (n) or null: upper
  // bounds on the score of every centroid but the row's own, in and out; infinity where nothing is known. norms (n):
  // |x|. moved (k) or null: how far each centroid moved since `others` was written. Returns the number of rows scored
  // in full.
  int64_t assign(const SparseRows& x, const double* norms, const double* moved, int32_t* labels, float* scores,
                 float* others) const;

  int64_t k() const { return k_; }
  int64_t d() const { return d_; }

 private:
  const float* centroids_;
  int64_t k_, d_, panels_;
  double longest_ = 0;
  int64_t aligned_ = 0;              // where packed_ meets a cache line
  std::unique_ptr<float[]> packed_;  // from there on: [panel of 64][d][64], zero-padded

  double exact(const SparseRows& x, int64_t row, int64_t c) const;
  bool settled(const SparseRows& x, int64_t row, double norm, double moved, int32_t label, float* score,
               float* other) const;
  void decide(const SparseRows& x, int64_t row, double norm, float* work, int32_t* open, int32_t* label, float* score,
              float* other) const;
};

// out (n): Euclidean distance of row i of a (n, d) from row i of b, in float64.
void row_distances(const float* a, const float* b, int64_t n, int64_t d, double* out);

// centroids (k, d): the sum of weight * row over each cluster, scaled to length one; rows in order, sums in float64. A
// cluster whose sum is zero keeps what is there. Labels must be in [0, k).
void sparse_directions(const SparseRows& x, const int32_t* labels, const double* weights, float* centroids, int64_t k);

}  // namespace cluscomp
