#include <nanobind/stl/vector.h>

#include <vector>

#include "arrays.h"
#include "cluscomp/medoids.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

void check_medoids(const int64_t* medoids, int64_t k, int64_t n) {
  std::vector<uint8_t> seen(static_cast<size_t>(n));
  if (k < 1) throw std::invalid_argument("at least one medoid is needed");
  for (int64_t s = 0; s < k; ++s) {
    if (medoids[s] < 0 || medoids[s] >= n || seen[medoids[s]])
      throw std::invalid_argument("medoids must be different points in [0, n)");
    seen[medoids[s]] = 1;
  }
}

}  // namespace

void bind_medoids(nb::module_& m) {
  m.def(
      "squared_distances",
      [](const Rows& x, int64_t begin, int64_t end, Out<float, Matrix2> out) {
        const RowsView view = rows_view(x);
        require_equal(static_cast<int64_t>(out.shape(0)), view.n, "rows of out");
        require_equal(static_cast<int64_t>(out.shape(1)), view.n, "columns of out");
        if (begin < 0 || begin >= end || end > view.n) throw std::invalid_argument("rows are outside [0, n)");
        nb::gil_scoped_release release;
        squared_distances(view, begin, end, out.data());
      },
      "x"_a, "begin"_a, "end"_a, "out"_a, "Squared distances of rows begin..end to all rows before them, mirrored.");

  nb::class_<MedoidSearch>(m, "MedoidSearch", "FasterPAM on a symmetric matrix of dissimilarities.")
      .def(
          "__init__",
          [](MedoidSearch* self, In<float, Matrix2> matrix, In<int64_t, Vector1> medoids) {
            const auto n = static_cast<int64_t>(matrix.shape(0)), k = static_cast<int64_t>(medoids.shape(0));
            require_equal(static_cast<int64_t>(matrix.shape(1)), n, "columns of matrix");
            check_medoids(medoids.data(), k, n);
            nb::gil_scoped_release release;
            new (self) MedoidSearch(matrix.data(), n, medoids.data(), k);
          },
          "matrix"_a, "medoids"_a, nb::keep_alive<1, 2>())
      .def("run", &MedoidSearch::run, "candidates"_a, "swaps"_a, nb::call_guard<nb::gil_scoped_release>(),
           "Go on for so many candidates or swaps; True when no swap improves any more.")
      .def_prop_ro("medoids", &MedoidSearch::medoids, "Points that are medoids now.")
      .def_prop_ro("swaps", &MedoidSearch::swaps, "Swaps made.")
      .def_prop_ro("scored", &MedoidSearch::scored, "Candidates scored.")
      .def_prop_ro("loss", &MedoidSearch::loss, "Sum of the dissimilarities of all points from their medoids.");
}

}  // namespace cluscomp::bind
