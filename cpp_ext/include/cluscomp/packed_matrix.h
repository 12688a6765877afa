// Rows times a matrix that was packed once, in the order of sums of product_kernels.h: the bits depend on neither the
// instruction set, the threads nor the rows of one call.
#pragma once

#include <vector>

#include "cluscomp/rows.h"

namespace cluscomp {

class PackedMatrix {
 public:
  // matrix: (d, columns), row after row; it is not kept.
  PackedMatrix(const double* matrix, int64_t d, int64_t columns);

  int64_t d() const { return d_; }
  int64_t columns() const { return columns_; }

  // out (x.n, columns) = x * matrix. x.d is d.
  void multiply(const RowsView& x, float* out) const;
  void multiply(const double* x, int64_t n, double* out) const;

 private:
  int64_t d_, columns_;
  std::vector<double> panels_;  // [ceil(columns / 8)][d][8], zero where there is no column
};

}  // namespace cluscomp
