#include "cluscomp/term_blocks.h"

#include <nanobind/stl/optional.h>

#include <cstring>
#include <optional>
#include <vector>

#include "arrays.h"
#include "term_queries.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Bytes = In<uint8_t, Vector1>;
using Starts = In<int64_t, Vector1>;
using Floats = In<float, Vector1>;
using Any = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu, Vector1>;

int64_t length(const Any& x) { return static_cast<int64_t>(x.shape(0)); }

Places places(const Any& x) {
  const bool wide = x.dtype() == nb::dtype<int64_t>();
  if (!wide && x.dtype() != nb::dtype<int32_t>()) throw nb::type_error("places must be int32 or int64");
  return {x.data(), wide};
}

TermNumbers numbers(const Any& x) {
  const bool wide = x.dtype() == nb::dtype<int32_t>();
  if (!wide && x.dtype() != nb::dtype<uint16_t>()) throw nb::type_error("terms must be uint16 or int32");
  return {x.data(), wide};
}

// A forward index, and the Python arrays that it points into.
struct StoredForward {
  Any starts, terms, weights;
  ForwardRows rows;
};

StoredForward forward_of(Any starts, Any terms, Any weights, int64_t n_lists) {
  if (!length(starts)) throw std::invalid_argument("row_starts is empty");
  require_equal(length(weights), length(terms), "length of row_weights");
  const ForwardRows rows{places(starts),     numbers(terms), weights.data(), weight_type(weights.dtype()),
                         length(starts) - 1, n_lists,        length(terms)};
  return {starts, terms, weights, rows};
}

auto score(const StoredForward& self, Starts offsets, Starts lists, Floats weights, In<int64_t, Matrix2> candidates) {
  const TermQueries queries = queries_of(offsets, lists, weights);
  require_equal(static_cast<int64_t>(candidates.shape(0)), queries.n, "rows of candidates");
  auto scores = make_array<float>({candidates.shape(0), candidates.shape(1)});
  {
    nb::gil_scoped_release release;
    score_forward(self.rows, queries, candidates.data(), static_cast<int64_t>(candidates.shape(1)), scores.data());
  }
  return scores;
}

template <class T>
auto joined(const std::vector<ListBlocks>& made, std::vector<T> ListBlocks::* part) {
  size_t total = 0;
  for (const ListBlocks& list : made) total += (list.*part).size();
  auto array = make_array<T>({total});
  T* to = array.data();
  for (const ListBlocks& list : made) to = std::copy((list.*part).begin(), (list.*part).end(), to);
  return array;
}

template <class T, class Of>
auto each(const std::vector<ListBlocks>& made, const Of& of) {
  auto array = make_array<T>({made.size()});
  for (size_t i = 0; i < made.size(); ++i) array.data()[i] = static_cast<T>(of(made[i]));
  return array;
}

nb::tuple divide(const StoredForward& self, Starts starts, In<int32_t, Vector1> rows, double centroid_fraction,
                 double summary_energy, int64_t summary_terms, int64_t min_cluster_size, int64_t doc_cut,
                 uint64_t seed) {
  const int64_t m = check_offsets(starts, static_cast<int64_t>(rows.shape(0)));
  const BlockSettings settings{centroid_fraction, summary_energy, summary_terms, min_cluster_size, doc_cut, seed};
  std::vector<ListBlocks> made;
  {
    nb::gil_scoped_release release;
    made = divide_terms(self.rows, starts.data(), rows.data(), m, settings);
  }
  return nb::make_tuple(
      each<int64_t>(made, [](const ListBlocks& x) { return x.sizes.size(); }), joined(made, &ListBlocks::sizes),
      joined(made, &ListBlocks::rows), each<int64_t>(made, [](const ListBlocks& x) { return x.entry_terms.size(); }),
      joined(made, &ListBlocks::entry_terms), joined(made, &ListBlocks::entry_blocks),
      joined(made, &ListBlocks::entry_codes), each<float>(made, [](const ListBlocks& x) { return x.scale; }));
}

// Blocks, their summaries, and the rows that they divide.
struct StoredBlocks {
  StoredForward forward;
  Any list_blocks, block_starts, list_entries, entry_terms;
  In<int32_t, Vector1> block_rows;
  In<uint16_t, Vector1> entry_blocks;
  Bytes entry_codes;
  Floats list_scales;
  TermBlocks blocks;
};

StoredBlocks blocks_of(const StoredForward& forward, Any list_blocks, Any block_starts, In<int32_t, Vector1> block_rows,
                       Any list_entries, Any entry_terms, In<uint16_t, Vector1> entry_blocks, Bytes entry_codes,
                       Floats list_scales) {
  require_equal(length(list_blocks), forward.rows.n_lists + 1, "length of list_blocks");
  require_equal(length(list_entries), forward.rows.n_lists + 1, "length of list_entries");
  require_equal(static_cast<int64_t>(list_scales.shape(0)), forward.rows.n_lists, "length of list_scales");
  if (!length(block_starts)) throw std::invalid_argument("block_starts is empty");
  const auto n_entries = static_cast<int64_t>(entry_blocks.shape(0));
  require_equal(static_cast<int64_t>(entry_codes.shape(0)), n_entries, "length of entry_codes");
  require_equal(length(entry_terms), n_entries, "length of entry_terms");
  const TermBlocks blocks{places(list_blocks),
                          places(block_starts),
                          places(list_entries),
                          block_rows.data(),
                          numbers(entry_terms),
                          entry_blocks.data(),
                          entry_codes.data(),
                          list_scales.data(),
                          length(block_starts) - 1,
                          static_cast<int64_t>(block_rows.shape(0)),
                          n_entries};
  return {forward,    list_blocks,  block_starts, list_entries, entry_terms,
          block_rows, entry_blocks, entry_codes,  list_scales,  blocks};
}

nb::tuple search(const StoredBlocks& self, Starts offsets, Starts lists, Floats weights, int64_t k, int64_t query_cut,
                 float heap_factor, bool every, std::optional<Bytes> skip_bits) {
  if (k < 1 || query_cut < 0) throw std::invalid_argument("k must be at least 1, and query_cut at least 0");
  const TermQueries queries = queries_of(offsets, lists, weights);
  const ForwardRows& rows = self.forward.rows;
  const SkipBits skip = skip_bits ? bits_of(*skip_bits, rows.n_rows) : SkipBits{};
  auto scores = make_array<float>({static_cast<size_t>(queries.n), static_cast<size_t>(k)});
  auto positions = make_array<int64_t>({static_cast<size_t>(queries.n), static_cast<size_t>(k)});
  auto scored = make_array<int64_t>({static_cast<size_t>(queries.n)});
  {
    nb::gil_scoped_release release;
    search_blocks(rows, self.blocks, queries, {k, query_cut, heap_factor, every}, skip, scores.data(), positions.data(),
                  scored.data());
  }
  return nb::make_tuple(scores, positions, scored);
}

}  // namespace

void bind_term_blocks(nb::module_& m) {
  nb::class_<StoredForward>(m, "ForwardRows", "Weighted terms by row (term_blocks.h).")
      .def(
          "__init__",
          [](StoredForward* self, Any row_starts, Any row_terms, Any row_weights, int64_t n_lists) {
            new (self) StoredForward(forward_of(row_starts, row_terms, row_weights, n_lists));
          },
          "row_starts"_a, "row_terms"_a, "row_weights"_a, "n_lists"_a)
      .def("score", &score, "offsets"_a, "lists"_a, "weights"_a, "candidates"_a,
           "Scores (nq, m) float32 of given rows (nq, m); -inf for row -1.")
      .def("divide", &divide, "starts"_a, "rows"_a, "centroid_fraction"_a, "summary_energy"_a, "summary_terms"_a,
           "min_cluster_size"_a, "doc_cut"_a, "seed"_a,
           "Blocks and summaries of terms: number of blocks of each, sizes and rows of the blocks, number of "
           "entries of each, their terms, blocks and codes, scale of each.");
  nb::class_<StoredBlocks>(m, "TermBlocks", "Clustered postings (term_blocks.h).")
      .def(
          "__init__",
          [](StoredBlocks* self, const StoredForward& forward, Any list_blocks, Any block_starts,
             In<int32_t, Vector1> block_rows, Any list_entries, Any entry_terms, In<uint16_t, Vector1> entry_blocks,
             Bytes entry_codes, Floats list_scales) {
            new (self) StoredBlocks(blocks_of(forward, list_blocks, block_starts, block_rows, list_entries, entry_terms,
                                              entry_blocks, entry_codes, list_scales));
          },
          "forward"_a, "list_blocks"_a, "block_starts"_a, "block_rows"_a, "list_entries"_a, "entry_terms"_a,
          "entry_blocks"_a, "entry_codes"_a, "list_scales"_a)
      .def("search", &search, "offsets"_a, "lists"_a, "weights"_a, "k"_a, "query_cut"_a, "heap_factor"_a, "every"_a,
           "skip_bits"_a.none(),
           "Best k rows of each query in the blocks that are opened: scores (nq, k) float32, rows (nq, k) int64; "
           "-inf, -1; and how many rows (nq,) int64 were scored.");
}

}  // namespace cluscomp::bind
