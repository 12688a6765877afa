// Lengths of rows, and rows scaled to length one. Squares are summed in float64 in the order of `dot_f64` (kernels.h),
// so that none overflows or vanishes, and so that the bits depend on neither the instruction set nor the threads.
#pragma once

#include "cluscomp/rows.h"

namespace cluscomp {

// out[i] = the square root of the sum of squares of row i.
void row_norms(const RowsView& x, double* out);

// out (n, d) = each row over its length, divided in float64 and rounded once; a row of zeros stays as it is.
void unit_rows(const RowsView& x, float* out);
void unit_rows(const double* x, int64_t n, int64_t d, float* out);

}  // namespace cluscomp
