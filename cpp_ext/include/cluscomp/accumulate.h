// Sums of rows by label, in row order: the same bits for any number of threads and any cut into blocks; with rounders
// for any order of rows as well.
#pragma once

#include "cluscomp/rows.h"

namespace cluscomp {

// sums (k, d) and counts (k) are added to. weights: (n) or null. rounders: (d + 1) or null: 1.5 * 2^52 units of each
// column's products and of the weights, which are rounded to multiples of their unit. Labels must be in [0, k).
void accumulate(const RowsView& x, const int32_t* labels, const double* weights, const double* rounders, double* sums,
                double* counts, int64_t k);

}  // namespace cluscomp
