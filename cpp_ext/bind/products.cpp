#include "arrays.h"
#include "cluscomp/packed_matrix.h"
#include "cluscomp/unit_rows.h"

namespace cluscomp::bind {

using namespace nb::literals;

void bind_products(nb::module_& m) {
  nb::class_<PackedMatrix>(m, "PackedMatrix", "A matrix (d, columns), packed for products with rows.")
      .def(
          "__init__",
          [](PackedMatrix* self, In<double, Matrix2> matrix) {
            const auto d = static_cast<int64_t>(matrix.shape(0)), columns = static_cast<int64_t>(matrix.shape(1));
            nb::gil_scoped_release release;
            new (self) PackedMatrix(matrix.data(), d, columns);
          },
          "matrix"_a)
      .def(
          "multiply",
          [](const PackedMatrix& self, const SpacedRows& x) {
            const RowsView view = rows_view(x);
            require_equal(view.d, self.d(), "columns of x");
            auto out = make_array<float>({x.shape(0), static_cast<size_t>(self.columns())});
            {
              nb::gil_scoped_release release;
              self.multiply(view, out.data());
            }
            return out;
          },
          "x"_a, "x @ matrix of rows x (n, d), summed in float64 and rounded once: (n, columns) float32.")
      .def(
          "multiply_f64",
          [](const PackedMatrix& self, In<double, Matrix2> x) {
            require_equal(static_cast<int64_t>(x.shape(1)), self.d(), "columns of x");
            auto out = make_array<double>({x.shape(0), static_cast<size_t>(self.columns())});
            {
              nb::gil_scoped_release release;
              self.multiply(x.data(), static_cast<int64_t>(x.shape(0)), out.data());
            }
            return out;
          },
          "x"_a, "x @ matrix of float64 rows x (n, d): (n, columns) float64.");

  m.def(
      "row_norms",
      [](const SpacedRows& x) {
        const RowsView view = rows_view(x);
        auto out = make_array<double>({x.shape(0)});
        {
          nb::gil_scoped_release release;
          row_norms(view, out.data());
        }
        return out;
      },
      "x"_a, "Lengths (n,) float64 of rows x (n, d).");
  m.def(
      "unit_rows",
      [](const SpacedRows& x) {
        const RowsView view = rows_view(x);
        auto out = make_array<float>({x.shape(0), x.shape(1)});
        {
          nb::gil_scoped_release release;
          unit_rows(view, out.data());
        }
        return out;
      },
      "x"_a, "Rows x (n, d) scaled to length one: (n, d) float32. Rows of zeros stay zero.");
  m.def(
      "unit_rows_f64",
      [](In<double, Matrix2> x) {
        auto out = make_array<float>({x.shape(0), x.shape(1)});
        {
          nb::gil_scoped_release release;
          unit_rows(x.data(), static_cast<int64_t>(x.shape(0)), static_cast<int64_t>(x.shape(1)), out.data());
        }
        return out;
      },
      "x"_a, "The same of float64 rows.");
}

}  // namespace cluscomp::bind
