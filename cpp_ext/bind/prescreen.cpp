#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "arrays.h"
#include "cluscomp/prescreen.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Values = In<uint8_t, Vector1>;
using Terms = In<float, Vector1>;

void check_prescreen(const RowsView& rows, size_t values, size_t terms, size_t mean) {
  require_equal(static_cast<int64_t>(values), prescreen_value_bytes(rows.n, rows.d), "length of values");
  require_equal(static_cast<int64_t>(terms), prescreen_term_count(rows.n), "length of terms");
  require_equal(static_cast<int64_t>(mean), rows.d, "length of mean");
}

}  // namespace

void bind_prescreen(nb::module_& m) {
  m.def(
      "build_prescreen",
      [](const Rows& x, Terms mean, const std::string& metric) {
        const RowsView rows = rows_view(x);
        const Metric kind = metric_of(metric);
        require_equal(static_cast<int64_t>(mean.shape(0)), rows.d, "length of mean");
        auto values = make_array<uint8_t>({static_cast<size_t>(prescreen_value_bytes(rows.n, rows.d))});
        auto terms = make_array<float>({static_cast<size_t>(prescreen_term_count(rows.n))});
        float longest;
        {
          nb::gil_scoped_release release;
          longest = build_prescreen(rows, mean.data(), kind, values.data(), terms.data());
        }
        return nb::make_tuple(values, terms, longest);
      },
      "rows"_a, "mean"_a, "metric"_a, "Values, terms and the largest norm of the 8-bit prescreen of `rows`.");

  m.def(
      "search_prescreen",
      [](In<float, Matrix2> queries, const Rows& x, Values values, Terms terms, Terms mean, float largest_norm,
         int64_t k, const std::string& metric, std::optional<In<uint8_t, Vector1>> skip) {
        const RowsView rows = rows_view(x);
        const Metric kind = metric_of(metric);
        if (k < 1) throw std::invalid_argument("k must be at least 1");
        require_equal(static_cast<int64_t>(queries.shape(1)), rows.d, "columns of queries");
        check_prescreen(rows, values.shape(0), terms.shape(0), mean.shape(0));
        if (skip) require_equal(static_cast<int64_t>(skip->shape(0)), rows.n, "length of skip");
        const PrescreenView prescreen{values.data(), terms.data(), mean.data(), largest_norm};
        auto scores = make_array<float>({queries.shape(0), static_cast<size_t>(k)});
        auto positions = make_array<int64_t>({queries.shape(0), static_cast<size_t>(k)});
        int64_t scored;
        {
          nb::gil_scoped_release release;
          scored = search_prescreen(rows, prescreen, queries.data(), static_cast<int64_t>(queries.shape(0)), kind, k,
                                    skip ? skip->data() : nullptr, scores.data(), positions.data());
        }
        return nb::make_tuple(scores, positions, scored);
      },
      "queries"_a, "rows"_a, "values"_a, "terms"_a, "mean"_a, "largest_norm"_a, "k"_a, "metric"_a,
      "skip"_a = nb::none(), "Exact best k of all rows; also how many rows had to be scored.");
}

}  // namespace cluscomp::bind
