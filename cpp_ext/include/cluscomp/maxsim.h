// MaxSim (Khattab and Zaharia, SIGIR 2020): sum over the vectors of a query of the largest inner product with any
// vector of a document.
#pragma once

#include "cluscomp/rows.h"

namespace cluscomp {

// scores (n_queries, n_docs). query_offsets (n_queries + 1) and doc_offsets (n_docs + 1) cut the rows into queries and
// documents. Products are float32 sums in column order, their maxima are added in float64 in row order: no score
// depends on the other queries and documents. A document without vectors scores -infinity, a query without vectors 0.
void maxsim(const RowsView& queries, const int64_t* query_offsets, int64_t n_queries, const RowsView& docs,
            const int64_t* doc_offsets, int64_t n_docs, float* scores);

}  // namespace cluscomp
