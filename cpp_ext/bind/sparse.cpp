#include <nanobind/stl/optional.h>

#include <optional>

#include "arrays.h"
#include "cluscomp/sparse.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Starts = In<int64_t, Vector1>;
using Columns = In<int32_t, Vector1>;
using Values = In<float, Vector1>;

SparseRows sparse_view(const Starts& start, const Columns& columns, const Values& values, int64_t d) {
  const auto n = static_cast<int64_t>(start.shape(0)) - 1;
  const auto stored = static_cast<int64_t>(columns.shape(0));
  require_equal(static_cast<int64_t>(values.shape(0)), stored, "length of values");
  if (n < 0 || start.data()[0] < 0) throw std::invalid_argument("start must have n + 1 entries");
  for (int64_t i = 0; i < n; ++i)
    if (start.data()[i + 1] < start.data()[i]) throw std::invalid_argument("start must not fall");
  if (start.data()[n] > stored) throw std::invalid_argument("start points behind the last value");
  for (int64_t at = start.data()[0]; at < start.data()[n]; ++at)
    if (columns.data()[at] < 0 || columns.data()[at] >= d) throw std::invalid_argument("a column is outside [0, d)");
  return {start.data(), columns.data(), values.data(), n, d};
}

void check_labels(const int32_t* labels, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n; ++i)
    if (labels[i] < 0 || labels[i] >= k) throw std::invalid_argument("a label is outside [0, k)");
}

}  // namespace

void bind_sparse(nb::module_& m) {
  nb::class_<SparseAssigner>(m, "SparseAssigner", "Centroids packed for exact assignment of sparse rows.")
      .def(
          "__init__",
          [](SparseAssigner* self, In<float, Matrix2> centroids) {
            const auto k = static_cast<int64_t>(centroids.shape(0)), d = static_cast<int64_t>(centroids.shape(1));
            if (k < 1 || d < 1) throw std::invalid_argument("centroids need at least one row and one column");
            nb::gil_scoped_release release;
            new (self) SparseAssigner(centroids.data(), k, d);
          },
          "centroids"_a, nb::keep_alive<1, 2>())
      .def(
          "assign",
          [](const SparseAssigner& self, Starts start, Columns columns, Values values, In<double, Vector1> norms,
             std::optional<In<double, Vector1>> moved, Out<int32_t, Vector1> labels, Out<float, Vector1> scores,
             std::optional<Out<float, Vector1>> others) {
            const SparseRows x = sparse_view(start, columns, values, self.d());
            require_equal(static_cast<int64_t>(norms.shape(0)), x.n, "length of norms");
            require_equal(static_cast<int64_t>(labels.shape(0)), x.n, "length of labels");
            require_equal(static_cast<int64_t>(scores.shape(0)), x.n, "length of scores");
            if (others) require_equal(static_cast<int64_t>(others->shape(0)), x.n, "length of others");
            if (moved) {
              require_equal(static_cast<int64_t>(moved->shape(0)), self.k(), "length of moved");
              check_labels(labels.data(), x.n, self.k());
            }
            nb::gil_scoped_release release;
            return self.assign(x, norms.data(), moved ? moved->data() : nullptr, labels.data(), scores.data(),
                               others ? others->data() : nullptr);
          },
          "start"_a, "columns"_a, "values"_a, "norms"_a, "moved"_a.none(), "labels"_a, "scores"_a, "others"_a.none(),
          "Writes labels, scores and bounds on the other scores; returns how many rows were scored in full.");

  m.def(
      "row_distances",
      [](In<float, Matrix2> a, In<float, Matrix2> b) {
        const auto n = static_cast<int64_t>(a.shape(0)), d = static_cast<int64_t>(a.shape(1));
        require_equal(static_cast<int64_t>(b.shape(0)), n, "rows of b");
        require_equal(static_cast<int64_t>(b.shape(1)), d, "columns of b");
        auto out = make_array<double>({a.shape(0)});
        {
          nb::gil_scoped_release release;
          row_distances(a.data(), b.data(), n, d, out.data());
        }
        return out;
      },
      "a"_a, "b"_a, "Euclidean distance (n,) float64 between rows of the same number.");

  m.def(
      "sparse_directions",
      [](Starts start, Columns columns, Values values, In<int32_t, Vector1> labels, In<double, Vector1> weights,
         Out<float, Matrix2> centroids) {
        const auto k = static_cast<int64_t>(centroids.shape(0));
        const SparseRows x = sparse_view(start, columns, values, static_cast<int64_t>(centroids.shape(1)));
        require_equal(static_cast<int64_t>(labels.shape(0)), x.n, "length of labels");
        require_equal(static_cast<int64_t>(weights.shape(0)), x.n, "length of weights");
        check_labels(labels.data(), x.n, k);
        nb::gil_scoped_release release;
        sparse_directions(x, labels.data(), weights.data(), centroids.data(), k);
      },
      "start"_a, "columns"_a, "values"_a, "labels"_a, "weights"_a, "centroids"_a,
      "Overwrite centroids with the unit sums of their clusters; a sum of zero changes nothing.");
}

}  // namespace cluscomp::bind
