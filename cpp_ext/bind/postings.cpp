#include "cluscomp/postings.h"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "arrays.h"
#include "cluscomp/term_order.h"
#include "term_queries.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Bytes = In<uint8_t, Vector1>;
using Starts = In<int64_t, Vector1>;
using Weights = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu, Vector1>;  // uint8, float16 or float32

// An inverted file, and the Python arrays that it points into.
struct StoredPostings {
  Starts list_chunks, list_starts;
  Weights chunk_numbers, chunk_maxima, weights;
  Bytes chunk_sizes, rows;
  Postings postings;
};

StoredPostings postings_of(Starts list_chunks, Starts list_starts, Weights chunk_numbers, Bytes chunk_sizes,
                           Weights chunk_maxima, Bytes rows, Weights weights, int64_t n_rows) {
  Postings x{};
  x.n_rows = n_rows;
  x.n_lists = check_offsets(list_chunks, static_cast<int64_t>(chunk_sizes.shape(0)));
  require_equal(check_offsets(list_starts, static_cast<int64_t>(rows.shape(0))), x.n_lists, "length of list_starts");
  x.n_chunks = static_cast<int64_t>(chunk_sizes.shape(0));
  x.n_postings = static_cast<int64_t>(rows.shape(0));
  require_equal(static_cast<int64_t>(chunk_numbers.shape(0)), x.n_chunks, "length of chunk_numbers");
  require_equal(static_cast<int64_t>(chunk_maxima.shape(0)), x.n_chunks, "length of chunk_maxima");
  require_equal(static_cast<int64_t>(weights.shape(0)), x.n_postings, "length of weights");
  x.wide = chunk_numbers.dtype() == nb::dtype<int32_t>();
  if (!x.wide && chunk_numbers.dtype() != nb::dtype<uint16_t>())
    throw nb::type_error("chunk_numbers must be uint16 or int32");
  x.type = weight_type(weights.dtype());
  if (weight_type(chunk_maxima.dtype()) != x.type) throw nb::type_error("chunk_maxima must be of the type of weights");
  x.list_chunks = list_chunks.data();
  x.list_starts = list_starts.data();
  x.chunk_numbers = chunk_numbers.data();
  x.chunk_sizes = chunk_sizes.data();
  x.chunk_maxima = chunk_maxima.data();
  x.rows = rows.data();
  x.weights = weights.data();
  return {list_chunks, list_starts, chunk_numbers, chunk_maxima, weights, chunk_sizes, rows, x};
}

nb::tuple search(const StoredPostings& self, Starts offsets, Starts lists, In<float, Vector1> weights, int64_t k,
                 std::optional<Bytes> skip_bits) {
  if (k < 1) throw std::invalid_argument("k must be at least 1");
  const TermQueries queries = queries_of(offsets, lists, weights);
  const SkipBits skip = skip_bits ? bits_of(*skip_bits, self.postings.n_rows) : SkipBits{};
  auto scores = make_array<float>({static_cast<size_t>(queries.n), static_cast<size_t>(k)});
  auto positions = make_array<int64_t>({static_cast<size_t>(queries.n), static_cast<size_t>(k)});
  {
    nb::gil_scoped_release release;
    search_postings(self.postings, queries, k, skip, scores.data(), positions.data());
  }
  return nb::make_tuple(scores, positions);
}

auto score(const StoredPostings& self, Starts offsets, Starts lists, In<float, Vector1> weights,
           In<int64_t, Matrix2> candidates) {
  const TermQueries queries = queries_of(offsets, lists, weights);
  require_equal(static_cast<int64_t>(candidates.shape(0)), queries.n, "rows of candidates");
  const int64_t count = queries.n * static_cast<int64_t>(candidates.shape(1));
  for (int64_t i = 0; i < count; ++i)
    if (candidates.data()[i] >= self.postings.n_rows) throw std::invalid_argument("a row does not exist");
  auto scores = make_array<float>({candidates.shape(0), candidates.shape(1)});
  {
    nb::gil_scoped_release release;
    score_postings(self.postings, queries, candidates.data(), static_cast<int64_t>(candidates.shape(1)), scores.data());
  }
  return scores;
}

nb::tuple ordered_terms(Starts offsets, Starts lists, In<float, Vector1> weights) {
  const TermQueries queries = queries_of(offsets, lists, weights);
  std::vector<int64_t> kept(lists.data(), lists.data() + lists.shape(0));
  std::vector<float> values(weights.data(), weights.data() + weights.shape(0));
  auto stops = make_array<int64_t>({static_cast<size_t>(queries.n) + 1});
  order_terms(offsets.data(), queries.n, kept.data(), values.data(), stops.data());
  const auto n = static_cast<size_t>(stops.data()[queries.n]);
  auto new_lists = make_array<int64_t>({n});
  auto new_weights = make_array<float>({n});
  std::copy_n(kept.begin(), n, new_lists.data());
  std::copy_n(values.begin(), n, new_weights.data());
  return nb::make_tuple(stops, new_lists, new_weights);
}

}  // namespace

void bind_postings(nb::module_& m) {
  m.def("ordered_terms", &ordered_terms, "offsets"_a, "lists"_a, "weights"_a,
        "Terms of queries without those of list -1, ascending by list within each: offsets (nq + 1) int64, lists (N) "
        "int64, weights (N) float32 (term_order.h).");
  nb::class_<StoredPostings>(m, "Postings", "Weights of terms in rows, by term (postings.h).")
      .def(
          "__init__",
          [](StoredPostings* self, Starts list_chunks, Starts list_starts, Weights chunk_numbers, Bytes chunk_sizes,
             Weights chunk_maxima, Bytes rows, Weights weights, int64_t n_rows) {
            new (self) StoredPostings(
                postings_of(list_chunks, list_starts, chunk_numbers, chunk_sizes, chunk_maxima, rows, weights, n_rows));
          },
          "list_chunks"_a, "list_starts"_a, "chunk_numbers"_a, "chunk_sizes"_a, "chunk_maxima"_a, "rows"_a, "weights"_a,
          "n_rows"_a)
      .def("search", &search, "offsets"_a, "lists"_a, "weights"_a, "k"_a, "skip_bits"_a.none(),
           "Best k rows of each query with a score above 0: scores (nq, k) float32, rows (nq, k) int64; -inf, -1.")
      .def("score", &score, "offsets"_a, "lists"_a, "weights"_a, "candidates"_a,
           "Scores (nq, m) float32 of given rows (nq, m); -inf for row -1.");
}

}  // namespace cluscomp::bind
