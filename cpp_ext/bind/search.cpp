#include "cluscomp/search.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <optional>

#include "cluscomp/codes.h"
#include "part_bits.h"
#include "parts.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Queries = In<float, Matrix2>;

// What chooses lists, and the Python object that it reads.
struct Chooser {
  nb::object owner;
  std::unique_ptr<const ListChooser> lists;

  void check(int64_t count, int64_t dim) const {
    if (count < 1 || count > lists->most()) throw std::invalid_argument("so many lists cannot be chosen");
    if (lists->dim()) require_equal(dim, lists->dim(), "columns of queries");
  }
};

nb::tuple choose(const Chooser& self, Queries queries, int64_t count) {
  self.check(count, static_cast<int64_t>(queries.shape(1)));
  auto lists = make_array<int32_t>({queries.shape(0), static_cast<size_t>(count)});
  auto products = make_array<float>({queries.shape(0), static_cast<size_t>(count)});
  bool are_products;
  {
    nb::gil_scoped_release release;
    are_products = self.lists->choose(queries.data(), static_cast<int64_t>(queries.shape(0)), count, lists.data(),
                                      products.data());
  }
  return nb::make_tuple(lists, are_products ? nb::cast(products) : nb::none());
}

// Stored rows with all that a search of them reads, and the Python objects that hold it.
struct Search {
  nb::object rows, finer;
  PartBits skip;
  Searched searched;
};

void make_search(Search* self, nb::object rows, const std::string& metric, const std::optional<nb::list>& skip_bits,
                 nb::object finer) {
  Search made{.rows = rows, .finer = finer, .skip = {}, .searched = {}};
  made.searched.rows = &nb::cast<const StoredParts&>(rows).parts;
  made.searched.metric = metric_of(metric);
  if (!finer.is_none()) {
    made.searched.finer = &nb::cast<const StoredParts&>(finer).parts;
    if (!made.searched.finer->form().by_row()) throw std::invalid_argument("interleaved codes cannot be read by row");
    require_equal(made.searched.finer->rows(), made.searched.rows->rows(), "rows of finer codes");
  }
  const Parts& parts = *made.searched.rows;
  if (skip_bits)
    made.skip = bits_of_parts(*skip_bits, parts.count(), [&](int64_t part) { return parts[part].lists.rows(); });
  new (self) Search(std::move(made));
  if (skip_bits) self->searched.skip = self->skip.bits.data();
}

nb::tuple run(const Search& self, Queries queries, Queries projected, int64_t k, int64_t candidates,
              const Chooser* chooser, int64_t n_lists) {
  const Searched& searched = self.searched;
  const size_t nq = projected.shape(0);
  const auto dim = static_cast<int64_t>(projected.shape(1));
  require_equal(dim, searched.rows->form().dim(), "columns of projected");
  require_equal(static_cast<int64_t>(queries.shape(0)), static_cast<int64_t>(nq), "rows of queries");
  if (k < 1 || (searched.finer && candidates < k)) throw std::invalid_argument("1 <= k <= candidates is needed");
  if (searched.finer)
    require_equal(static_cast<int64_t>(queries.shape(1)), searched.finer->form().dim(), "columns of queries");
  require_equal(chooser ? chooser->lists->lists() : 1, searched.rows->lists(), "lists of the chooser");
  if (chooser) chooser->check(n_lists, dim);
  const SearchCall call{.queries = queries.data(),
                        .projected = projected.data(),
                        .nq = static_cast<int64_t>(nq),
                        .k = k,
                        .candidates = candidates,
                        .chooser = chooser ? chooser->lists.get() : nullptr,
                        .n_lists = chooser ? n_lists : 1};
  auto scores = make_array<float>({nq, static_cast<size_t>(k)});
  auto positions = make_array<int64_t>({nq, static_cast<size_t>(k)});
  auto lists = make_array<int32_t>({nq, static_cast<size_t>(call.n_lists)});
  {
    nb::gil_scoped_release release;
    search(searched, call, lists.data(), {scores.data(), positions.data()});
  }
  return nb::make_tuple(scores, positions, lists);
}

// Whether an array is what kernels read: of the type `plain`, float32 (n, dim), contiguous, no value beyond `largest`.
bool are_ready(nb::handle x, int64_t dim, float largest, nb::handle plain) {
  Queries rows;
  if (!x.type().is(plain) || !nb::try_cast(x, rows, false)) return false;
  const RowsView view{rows.data(), RowType::f32, static_cast<int64_t>(rows.shape(0)), dim, dim};
  if (static_cast<int64_t>(rows.shape(1)) != dim || !view.n) return false;
  nb::gil_scoped_release release;
  return first_row_beyond(view, largest) < 0;
}

}  // namespace

void bind_search(nb::module_& m) {
  nb::class_<Chooser>(m, "ListChooser", "Which lists queries visit.")
      .def_static(
          "every",
          [](int64_t lists) {
            if (lists < 1) throw std::invalid_argument("there must be a list");
            return Chooser{nb::none(), std::make_unique<EveryList>(lists)};
          },
          "lists"_a, "All lists in their order.")
      .def_static(
          "nearest",
          [](nb::object assigner) {
            return Chooser{assigner, std::make_unique<NearestList>(nb::cast<const Assigner&>(assigner))};
          },
          "assigner"_a, "The list that an Assigner gives, without its scores.")
      .def_static(
          "ranked",
          [](nb::object centroids, const std::string& metric) {
            const Parts& parts = nb::cast<const StoredParts&>(centroids).parts;
            return Chooser{centroids, std::make_unique<RankedLists>(parts, metric_of(metric))};
          },
          "centroids"_a, "metric"_a, "Those with the best centroids, which are the rows of Parts.")
      .def("choose", &choose, "queries"_a, "count"_a,
           "The `count` best lists (nq, count) int32 of queries (nq, d) float32, best first; and the inner products "
           "(nq, count) float32 of the queries with their centroids, or None where they were not computed.");

  nb::class_<Search>(m, "Search", "Stored rows with all that a search of them reads.")
      .def("__init__", &make_search, "rows"_a, "metric"_a, "skip_bits"_a = nb::none(), "finer"_a = nb::none(),
           "rows: Parts with lists. skip_bits: as `Parts.scan` takes them. finer: Parts of the same rows by position, "
           "by which the best are scored again.")
      .def(
          "run", &run, "queries"_a, "projected"_a, "k"_a, "candidates"_a, "chooser"_a.none(), "n_lists"_a,
          "Best k rows: scores (nq, k) float32 and positions (nq, k) int64 as `Parts.scan` returns them, and the lists "
          "(nq, n_lists) int32 that were visited. queries (nq, dim): as finer codes compare them. projected (nq, d): "
          "as lists and codes do. candidates: how many finer codes score, k at least. chooser: ListChooser; None "
          "where there is one list.");

  m.def(
      "are_ready", &are_ready, "x"_a.none(), "dim"_a, "largest"_a, "plain"_a,
      "Whether x is of the type `plain` (NumPy's array), float32 (n, dim), n at least 1, contiguous, and no value NaN "
      "or beyond `largest`.");
}

}  // namespace cluscomp::bind
