#include "cluscomp/transport.h"

#include <nanobind/stl/string.h>

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Doubles = In<double, Vector1>;
using State = Out<double, Vector1>;

void check_range(const Transport& self, int64_t begin, int64_t end) {
  if (begin < 0 || begin > end || end > self.n()) throw std::invalid_argument("rows are outside [0, n)");
}

Transport::Columns columns_of(const Transport& self, double scale, const Doubles& shift) {
  const auto count = static_cast<int64_t>(shift.shape(0));
  if (count != self.k() + 1) require_equal(count, self.k(), "length of column shifts");
  return {scale, shift.data(), count};
}

Transport::RowState state_of(const Transport& self, const State& stable, const State& weight, const Doubles& lift) {
  require_equal(static_cast<int64_t>(stable.shape(0)), self.n(), "length of stable");
  require_equal(static_cast<int64_t>(weight.shape(0)), self.n(), "length of weight");
  require_equal(static_cast<int64_t>(lift.shape(0)), self.n(), "length of lift");
  return {stable.data(), weight.data(), lift.data()};
}

}  // namespace

void bind_transport(nb::module_& m) {
  nb::class_<Transport>(m, "Transport", "Costs of entropic optimal transport: stored, or made from rows when needed.")
      .def(
          "__init__",
          [](Transport* self, In<float, Matrix2> cost) {
            new (self) Transport(cost.data(), static_cast<int64_t>(cost.shape(0)), static_cast<int64_t>(cost.shape(1)));
          },
          "cost"_a, nb::keep_alive<1, 2>())
      .def(
          "__init__",
          [](Transport* self, const Rows& x, In<float, Matrix2> points, In<float, Vector1> centre,
             const std::string& metric) {
            const RowsView view = rows_view(x);
            require_equal(static_cast<int64_t>(points.shape(1)), view.d, "columns of points");
            require_equal(static_cast<int64_t>(centre.shape(0)), view.d, "length of centre");
            const auto k = static_cast<int64_t>(points.shape(0));
            new (self) Transport(view, points.data(), centre.data(), k, metric_of(metric));
          },
          "x"_a, "points"_a, "centre"_a, "metric"_a, nb::keep_alive<1, 2>())
      .def(
          "sweep",
          [](const Transport& self, int64_t begin, int64_t end, double scale, const Doubles& shift, const Doubles& mass,
             double power, const State& stable, const State& weight, const Doubles& lift, const State& sums) {
            check_range(self, begin, end);
            const auto columns = columns_of(self, scale, shift);
            const auto rows = state_of(self, stable, weight, lift);
            require_equal(static_cast<int64_t>(mass.shape(0)), self.n(), "length of mass");
            require_equal(static_cast<int64_t>(sums.shape(0)), columns.count, "length of sums");
            nb::gil_scoped_release release;
            self.sweep(begin, end, columns, mass.data(), power, rows, sums.data());
          },
          "begin"_a, "end"_a, "scale"_a, "shift"_a, "mass"_a, "power"_a, "stable"_a, "weight"_a, "lift"_a, "sums"_a)
      .def(
          "column_max",
          [](const Transport& self, int64_t begin, int64_t end, double scale, const Doubles& shift, const State& stable,
             const State& weight, const Doubles& lift, const State& most) {
            check_range(self, begin, end);
            const auto columns = columns_of(self, scale, shift);
            const auto rows = state_of(self, stable, weight, lift);
            require_equal(static_cast<int64_t>(most.shape(0)), columns.count, "length of most");
            nb::gil_scoped_release release;
            self.column_max(begin, end, columns, rows, most.data());
          },
          "begin"_a, "end"_a, "scale"_a, "shift"_a, "stable"_a, "weight"_a, "lift"_a, "most"_a)
      .def(
          "column_sums",
          [](const Transport& self, int64_t begin, int64_t end, double scale, const Doubles& shift, const State& stable,
             const State& weight, const Doubles& lift, const State& sums) {
            check_range(self, begin, end);
            const auto columns = columns_of(self, scale, shift);
            const auto rows = state_of(self, stable, weight, lift);
            require_equal(static_cast<int64_t>(sums.shape(0)), columns.count, "length of sums");
            nb::gil_scoped_release release;
            self.column_sums(begin, end, columns, rows, sums.data());
          },
          "begin"_a, "end"_a, "scale"_a, "shift"_a, "stable"_a, "weight"_a, "lift"_a, "sums"_a)
      .def(
          "labels",
          [](const Transport& self, int64_t begin, int64_t end, double scale, const Doubles& shift) {
            check_range(self, begin, end);
            const auto columns = columns_of(self, scale, shift);
            auto labels = make_array<int32_t>({static_cast<size_t>(end - begin)});
            {
              nb::gil_scoped_release release;
              self.labels(begin, end, columns, labels.data());
            }
            return labels;
          },
          "begin"_a, "end"_a, "scale"_a, "shift"_a)
      .def(
          "costs",
          [](const Transport& self, int64_t begin, int64_t end) {
            check_range(self, begin, end);
            auto out = make_array<float>({static_cast<size_t>(end - begin), static_cast<size_t>(self.k())});
            {
              nb::gil_scoped_release release;
              self.costs(begin, end, out.data());
            }
            return out;
          },
          "begin"_a, "end"_a)
      .def_prop_ro("n", &Transport::n)
      .def_prop_ro("k", &Transport::k)
      .def_prop_ro("d", &Transport::d)
      .def_prop_ro("chunk_rows", &Transport::chunk_rows,
                   "Rows of one partial sum; ranges that begin at multiples of it give the same bits.");
}

}  // namespace cluscomp::bind
