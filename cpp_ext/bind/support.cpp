#include "cluscomp/support.h"

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

Ragged ragged_of(const SupportSample& self, const Rows& rows, const Offsets& offsets) {
  const RowsView view = rows_view(rows);
  require_equal(view.d, self.d(), "columns of the rows");
  return {view, offsets.data(), check_offsets(offsets, view.n)};
}

}  // namespace

void bind_support(nb::module_& m) {
  nb::class_<SupportSample>(m, "SupportSample", "A sample of vectors, packed for support pooling.")
      .def(
          "__init__",
          [](SupportSample* self, const Rows& sample) {
            const RowsView view = rows_view(sample);
            nb::gil_scoped_release release;
            new (self) SupportSample(view);
          },
          "sample"_a)
      .def_prop_ro("n", &SupportSample::n, "Vectors of the sample.")
      .def_prop_ro("valid", &SupportSample::valid, "False where one of them is too long to be used.")
      .def(
          "values",
          [](const SupportSample& self, const Rows& rows, Offsets offsets) {
            const Ragged documents = ragged_of(self, rows, offsets);
            auto values = make_array<float>({static_cast<size_t>(documents.n_docs), static_cast<size_t>(self.n())});
            int64_t bad;
            {
              nb::gil_scoped_release release;
              bad = self.values(documents, values.data());
            }
            return nb::make_tuple(values, bad);
          },
          "rows"_a, "offsets"_a,
          "Largest inner products (n_docs, n) of the sample with each document's rows, and the first document with a "
          "row that is too long, or -1.")
      .def(
          "fit",
          [](const SupportSample& self, const Rows& start, Offsets offsets, Offsets fixed, In<float, Matrix2> values,
             In<double, Vector1> shifts, double start_share, double ridge, int64_t rounds, int64_t steps) {
            const Ragged documents = ragged_of(self, start, offsets);
            require_equal(static_cast<int64_t>(fixed.shape(0)), documents.n_docs, "length of fixed");
            require_equal(static_cast<int64_t>(values.shape(0)), documents.n_docs, "rows of values");
            require_equal(static_cast<int64_t>(values.shape(1)), self.n(), "columns of values");
            require_equal(static_cast<int64_t>(shifts.shape(0)), documents.n_docs, "length of shifts");
            for (int64_t i = 0; i < documents.n_docs; ++i)
              if (fixed.data()[i] < 0) throw std::invalid_argument("fixed must not be negative");
            auto vectors = make_array<float>({start.shape(0), start.shape(1)});
            auto objectives = make_array<double>({static_cast<size_t>(documents.n_docs), 2});
            int64_t bad;
            {
              nb::gil_scoped_release release;
              bad = self.fit(documents, fixed.data(), values.data(), shifts.data(), {start_share, ridge, rounds, steps},
                             vectors.data(), objectives.data());
            }
            return nb::make_tuple(vectors, objectives, bad);
          },
          "start"_a, "offsets"_a, "fixed"_a, "values"_a, "shifts"_a, "start_share"_a, "ridge"_a, "rounds"_a, "steps"_a,
          "Vectors (n, d) fitted to (1 - start_share) values (n_docs, n) + start_share (those of the start + shifts "
          "(n_docs)), objectives (n_docs, 2) before and after, and as `values`.");
}

}  // namespace cluscomp::bind
