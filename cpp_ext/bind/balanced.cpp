#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "arrays.h"
#include "cluscomp/candidates.h"
#include "cluscomp/capped_assign.h"
#include "cluscomp/dual_ascent.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

int64_t rows_of(const auto& array) { return static_cast<int64_t>(array.shape(0)); }

void check_range(const auto* values, int64_t n, int64_t end, const char* what) {
  for (int64_t i = 0; i < n; ++i)
    if (values[i] < 0 || values[i] >= end) throw std::invalid_argument(std::string(what) + " out of range");
}

void bind_candidates(nb::module_& m) {
  nb::class_<Candidates>(m, "Candidates", "The best centroids of every row under prices.")
      .def(
          "__init__",
          [](Candidates* self, In<float, Matrix2> centroids, const std::string& metric, In<double, Vector1> prices) {
            const auto k = rows_of(centroids), d = static_cast<int64_t>(centroids.shape(1));
            if (k < 1 || d < 1) throw std::invalid_argument("centroids need at least one row and one column");
            require_equal(rows_of(prices), k, "length of prices");
            new (self) Candidates(centroids.data(), k, d, metric_of(metric), prices.data());
          },
          "centroids"_a, "metric"_a, "prices"_a)
      .def(
          "nearest",
          [](const Candidates& self, const Rows& x, int64_t length) {
            const RowsView view = rows_view(x);
            require_equal(view.d, self.d(), "columns of x");
            if (length < 1 || length > self.k()) throw std::invalid_argument("length is outside [1, k]");
            auto ids = make_array<int32_t>({x.shape(0), static_cast<size_t>(length)});
            auto costs = make_array<float>({x.shape(0), static_cast<size_t>(length)});
            {
              nb::gil_scoped_release release;
              self.nearest(view, length, ids.data(), costs.data());
            }
            return nb::make_tuple(ids, costs);
          },
          "x"_a, "length"_a, "Returns ids and costs (n, length), best first; costs are without the price.")
      .def_prop_ro("k", &Candidates::k);
  m.def(
      "pair_scores",
      [](const Rows& x, In<float, Matrix2> centroids, const std::string& metric, In<int32_t, Vector1> labels) {
        const RowsView view = rows_view(x);
        require_equal(static_cast<int64_t>(centroids.shape(1)), view.d, "columns of x");
        require_equal(rows_of(labels), view.n, "length of labels");
        check_range(labels.data(), view.n, rows_of(centroids), "label");
        auto out = make_array<double>({x.shape(0)});
        {
          nb::gil_scoped_release release;
          pair_scores(view, centroids.data(), view.d, metric_of(metric), labels.data(), out.data());
        }
        return out;
      },
      "x"_a, "centroids"_a, "metric"_a, "labels"_a,
      "Squared distance or inner product (n,) float64 of each row with the centroid of its label.");
}

void bind_dual_ascent(nb::module_& m) {
  nb::class_<DualAscent>(m, "DualAscent", "Capacity-constrained assignment of items with candidate lists.")
      .def(
          "__init__",
          [](DualAscent* self, int64_t n, std::optional<In<int64_t, Vector1>> mass, In<int64_t, Vector1> low,
             In<int64_t, Vector1> high) {
            const int64_t k = rows_of(low);
            if (n < 1 || k < 1) throw std::invalid_argument("no items or no clusters");
            require_equal(rows_of(high), k, "length of high");
            if (mass) require_equal(rows_of(*mass), n, "length of mass");
            int64_t total = n, least = 0, most = 0;
            if (mass) {
              check_range(mass->data(), n, INT64_MAX, "mass");
              total = 0;
              for (int64_t i = 0; i < n; ++i) total += mass->data()[i];
            }
            for (int64_t j = 0; j < k; ++j) {
              if (low.data()[j] < 0 || low.data()[j] > high.data()[j]) throw std::invalid_argument("bounds cross");
              least += low.data()[j];
              most += high.data()[j];
            }
            if (total < least || total > most) throw std::invalid_argument("the bounds cannot be kept");
            new (self) DualAscent(n, k, mass ? mass->data() : nullptr, low.data(), high.data());
          },
          "n"_a, "mass"_a.none(), "low"_a, "high"_a)
      .def(
          "set_lists",
          [](DualAscent& self, std::optional<In<int64_t, Vector1>> items, int64_t first, In<int32_t, Matrix2> ids,
             In<float, Matrix2> costs) {
            const int64_t n = rows_of(ids), length = static_cast<int64_t>(ids.shape(1));
            require_equal(rows_of(costs), n, "rows of costs");
            require_equal(static_cast<int64_t>(costs.shape(1)), length, "columns of costs");
            if (items) {
              require_equal(rows_of(*items), n, "length of items");
              check_range(items->data(), n, self.n(), "item");
            } else if (first < 0 || first + n > self.n()) {
              throw std::invalid_argument("items out of range");
            }
            check_range(ids.data(), n * length, self.k(), "cluster");
            if (length < 1) throw std::invalid_argument("a list needs an entry");
            nb::gil_scoped_release release;
            self.set_lists(items ? items->data() : nullptr, first, n, length, ids.data(), costs.data());
          },
          "items"_a.none(), "first"_a, "ids"_a, "costs"_a, "Candidates of items [first, first + n), or of those named.")
      .def("drop_lists", &DualAscent::drop_lists,
           "To be called before all lists are recomputed under the current prices.")
      .def("count_escaped", &DualAscent::count_escaped, "`escaped` under the current prices.")
      .def("improve", &DualAscent::improve, "rounds"_a, "tolerance"_a, nb::call_guard<nb::gil_scoped_release>(),
           "At most so many Newton steps; False when no more are worth while.")
      .def(
          "settle",
          [](DualAscent& self, int64_t rounds, int64_t rest) {
            DualAscent::State state;
            {
              nb::gil_scoped_release release;
              state = self.settle(rounds, rest);
            }
            constexpr const char* names[] = {"done", "more", "stalled"};
            return std::string(names[static_cast<int>(state)]);
          },
          "rounds"_a, "rest"_a,
          "Moves mass along paths in at most so many rounds; 'done': no more than `rest` is out of place, 'more', or "
          "'stalled': the lists hold no way.")
      .def("wanted", [](const DualAscent& self) { return self.wanted(); })
      .def(
          "pull",
          [](DualAscent& self, In<int64_t, Vector1> items, In<int32_t, Vector1> sources, In<int32_t, Vector1> targets,
             In<double, Vector1> diffs) {
            const int64_t n = rows_of(items);
            require_equal(rows_of(sources), n, "length of sources");
            require_equal(rows_of(targets), n, "length of targets");
            require_equal(rows_of(diffs), n, "length of diffs");
            check_range(items.data(), n, self.n(), "item");
            check_range(sources.data(), n, self.k(), "source");
            check_range(targets.data(), n, self.k(), "target");
            self.pull(n, items.data(), sources.data(), targets.data(), diffs.data());
          },
          "items"_a, "sources"_a, "targets"_a, "diffs"_a,
          "Moves one unit of each item to a cluster that may be outside its list, where it costs `diffs` more.")
      .def(
          "units",
          [](DualAscent& self) {
            auto out = make_array<int32_t>({static_cast<size_t>(self.total())});
            self.write_units(out.data());
            return out;
          },
          "Cluster of each unit of mass: item by item, an item's units by rising cluster.")
      .def(
          "labels",
          [](const DualAscent& self) {
            auto out = make_array<int32_t>({self.best().size()});
            std::copy(self.best().begin(), self.best().end(), out.data());
            return out;
          },
          "Where cost + price is smallest for each item.")
      .def_prop_rw(
          "prices",
          [](const DualAscent& self) {
            auto out = make_array<double>({static_cast<size_t>(self.k())});
            std::ranges::copy(self.prices(), out.data());
            return out;
          },
          [](DualAscent& self, In<double, Vector1> prices) {
            require_equal(rows_of(prices), self.k(), "length of prices");
            if (!std::all_of(prices.data(), prices.data() + self.k(), [](double p) { return std::isfinite(p); }))
              throw std::invalid_argument("a price is not finite");
            self.set_prices(prices.data());
          },
          nb::for_getter(nb::rv_policy::move))
      .def_prop_ro("imbalance", &DualAscent::imbalance)
      .def_prop_ro("out_of_place", &DualAscent::out_of_place)
      .def_prop_ro("escaped", &DualAscent::escaped)
      .def_prop_ro("is_short", &DualAscent::is_short)
      .def_prop_ro("paths", &DualAscent::paths)
      .def_prop_ro("sizes", [](const DualAscent& self) { return self.sizes(); });
}

void bind_capped_assign(nb::module_& m) {
  m.def("list_quota", &list_quota, "milli"_a, "rows"_a, "k"_a,
        "The most rows of each of k lists that hold `rows` together: ceil(milli * rows / (1000 * k)).");
  m.def(
      "place_in_order",
      [](In<int32_t, Matrix2> preferences, int64_t first, int64_t announced, int64_t milli, Out<int64_t, Vector1> sizes,
         Out<int32_t, Vector1> labels) {
        const int64_t n = rows_of(preferences), k = static_cast<int64_t>(sizes.shape(0));
        require_equal(static_cast<int64_t>(labels.shape(0)), n, "length of labels");
        check_range(preferences.data(), static_cast<int64_t>(preferences.size()), k, "list");
        return place_in_order(preferences.data(), n, static_cast<int64_t>(preferences.shape(1)), first, announced,
                              milli, k, sizes.data(), labels.data());
      },
      "preferences"_a, "first"_a, "announced"_a, "milli"_a, "sizes"_a, "labels"_a,
      "Give rows the first of their lists (n, length) that has room, in order; sizes and labels are written. Returns "
      "how many rows stand before the first without room.");
}

}  // namespace

void bind_balanced(nb::module_& m) {
  bind_candidates(m);
  bind_dual_ascent(m);
  bind_capped_assign(m);
}

}  // namespace cluscomp::bind
