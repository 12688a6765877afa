// Terms of queries in the order in which rows have theirs.
#pragma once

#include <cstdint>

namespace cluscomp {

// Queries 0..n-1; query i has the terms offsets[i] to offsets[i + 1]. Leaves terms with list -1 out and writes the
// others ascending by list within each query, in place, to the front of lists and weights; new_offsets (n + 1) say
// where each query begins. The lists of a query differ.
void order_terms(const int64_t* offsets, int64_t n, int64_t* lists, float* weights, int64_t* new_offsets);

}  // namespace cluscomp
