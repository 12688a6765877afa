// Sums of rows by label, in row order: the same bits for any number of threads and any cut into blocks.
#pragma once

#include "cluscomp/rows.h"

namespace cluscomp {

// sums (k, d) and counts (k) are added to. weights: (n) or null. Labels must be in [0, k).
void accumulate(const RowsView& x, const int32_t* labels, const double* weights, double* sums, double* counts,
                int64_t k);

}  // namespace cluscomp
