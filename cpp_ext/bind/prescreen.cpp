#include <nanobind/stl/string.h>

#include "arrays.h"
#include "cluscomp/prescreen.h"

namespace cluscomp::bind {

using namespace nb::literals;

void bind_prescreen(nb::module_& m) {
  m.def(
      "build_prescreen",
      [](const Rows& x, In<float, Vector1> mean, const std::string& metric) {
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
}

}  // namespace cluscomp::bind
