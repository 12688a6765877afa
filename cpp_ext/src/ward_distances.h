// Squared distances of one run of rows, as Ward's method takes them.
#pragma once

#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/ward.h"

namespace cluscomp {

// A symmetric n x n matrix with row stride `ld` (a multiple of 16); the diagonal and the padding hold infinity.
struct SquareDistances {
  int64_t n = 0, ld = 0;
  double tolerance = 0;  // differences below it may be rounding; 0: taken in float64
  std::vector<double> values;

  double* row(int64_t i) { return values.data() + i * ld; }
  void resize(int64_t size);
};

class WardDistances {
 public:
  WardDistances(const RowsView& x, int64_t begin, int64_t end, WardInput input);
  void fast(SquareDistances& out);   // cosine_condensed only: float32 products
  void exact(SquareDistances& out);  // float64 throughout
  RowsView rows() const { return {rows_.data(), RowType::f32, n_, d_, d_}; }

 private:
  const Kernels& kern_;
  WardInput input_;
  int64_t n_, d_;
  std::vector<float> rows_;  // (n, d) as given; for cosine_square (n, n): 1 - cosine

  void replace_by_cosines();
};

}  // namespace cluscomp
