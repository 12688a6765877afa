#include "cluscomp/maxsim.h"

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

void bind_maxsim(nb::module_& m) {
  m.def(
      "maxsim",
      [](const Rows& queries, Offsets query_offsets, const Rows& docs, Offsets doc_offsets) {
        const RowsView q = rows_view(queries), x = rows_view(docs);
        require_equal(x.d, q.d, "columns of the documents");
        const int64_t n_queries = check_offsets(query_offsets, q.n), n_docs = check_offsets(doc_offsets, x.n);
        auto scores = make_array<float>({static_cast<size_t>(n_queries), static_cast<size_t>(n_docs)});
        {
          nb::gil_scoped_release release;
          maxsim(q, query_offsets.data(), n_queries, x, doc_offsets.data(), n_docs, scores.data());
        }
        return scores;
      },
      "queries"_a, "query_offsets"_a, "docs"_a, "doc_offsets"_a,
      "Scores (n_queries, n_docs): sum over query vectors of the largest inner product with the document's.");
}

}  // namespace cluscomp::bind
