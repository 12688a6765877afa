#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>

#include "arrays.h"
#include "cluscomp/ward.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Numbers = In<int64_t, Vector1>;

WardInput input_of(const std::string& name) {
  if (name == "euclidean") return WardInput::euclidean;
  if (name == "cosine_condensed") return WardInput::cosine_condensed;
  if (name == "cosine_square") return WardInput::cosine_square;
  throw nb::value_error(("linkage input '" + name + "' is unknown").c_str());
}

Runs runs_of(const Numbers& starts, const Numbers& stops, int64_t rows) {
  require_equal(static_cast<int64_t>(stops.shape(0)), static_cast<int64_t>(starts.shape(0)), "length of stops");
  const Runs runs{starts.data(), stops.data(), static_cast<int64_t>(starts.shape(0))};
  int64_t at = 0;
  for (int64_t i = 0; i < runs.count; ++i) {
    if (runs.starts[i] < at || runs.stops[i] < runs.starts[i] || runs.stops[i] > rows)
      throw std::invalid_argument("runs must be ascending and within the rows");
    at = runs.stops[i];
  }
  return runs;
}

void check_merges(const int32_t* merges, const Runs& runs) {
  for (int64_t i = 0; i < runs.count; ++i) {
    const int64_t first = runs.starts[i], n = runs.stops[i] - first;
    for (int64_t j = 2 * first; j < 2 * (first + n - 1); ++j)
      if (merges[j] < 0 || merges[j] >= n) throw std::invalid_argument("a merge names a row outside its run");
  }
}

}  // namespace

void bind_ward(nb::module_& m) {
  m.def(
      "ward_merges",
      [](const Rows& x, Numbers starts, Numbers stops, const std::string& input) {
        const RowsView view = rows_view(x);
        const Runs runs = runs_of(starts, stops, view.n);
        const WardInput kind = input_of(input);
        if (first_row_beyond(view, std::numeric_limits<float>::max()) >= 0)
          throw std::invalid_argument("rows hold NaN or infinity");
        auto merges = make_array<int32_t>({x.shape(0), 2});
        auto heights = make_array<double>({x.shape(0)});
        int64_t repeated;
        {
          nb::gil_scoped_release release;
          std::fill(merges.data(), merges.data() + 2 * view.n, -1);
          std::fill(heights.data(), heights.data() + view.n, std::numeric_limits<double>::infinity());
          repeated = ward_merges(view, runs, kind, merges.data(), heights.data());
        }
        return nb::make_tuple(merges, heights, repeated);
      },
      "x"_a, "starts"_a, "stops"_a, "input"_a,
      "Merges (n, 2) and heights (n,) of Ward's method within each run, (-1, -1) and infinity outside, and how many "
      "runs needed float64.");

  m.def(
      "cut_merges",
      [](In<int32_t, Matrix2> merges, In<double, Vector1> heights, Numbers starts, Numbers stops, Numbers counts) {
        const auto rows = static_cast<int64_t>(heights.shape(0));
        const Runs runs = runs_of(starts, stops, rows);
        require_equal(static_cast<int64_t>(merges.shape(0)), rows, "rows of merges");
        require_equal(static_cast<int64_t>(merges.shape(1)), 2, "columns of merges");
        require_equal(static_cast<int64_t>(counts.shape(0)), runs.count, "length of counts");
        check_merges(merges.data(), runs);
        auto labels = make_array<int32_t>({heights.shape(0)});
        auto found = make_array<int64_t>({counts.shape(0)});
        {
          nb::gil_scoped_release release;
          std::fill(labels.data(), labels.data() + rows, -1);
          cut_merges(runs, merges.data(), heights.data(), counts.data(), labels.data(), found.data());
        }
        return nb::make_tuple(labels, found);
      },
      "merges"_a, "heights"_a, "starts"_a, "stops"_a, "counts"_a,
      "Labels (n,) within each run, -1 outside all runs, and the number of clusters of each run.");

  m.def(
      "linkage_matrix",
      [](In<int32_t, Matrix2> merges, In<double, Vector1> heights) {
        const auto n = static_cast<int64_t>(heights.shape(0));
        require_equal(static_cast<int64_t>(merges.shape(0)), n, "rows of merges");
        require_equal(static_cast<int64_t>(merges.shape(1)), 2, "columns of merges");
        const int64_t start = 0;
        check_merges(merges.data(), {&start, &n, 1});
        auto linkage = make_array<double>({static_cast<size_t>(n ? n - 1 : 0), 4});
        linkage_matrix(merges.data(), heights.data(), n, linkage.data());
        return linkage;
      },
      "merges"_a, "heights"_a, "The linkage matrix (n - 1, 4) of scipy for the merges of one run.");
}

}  // namespace cluscomp::bind
