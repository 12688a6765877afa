#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <optional>

#include "arrays.h"
#include "cluscomp/accumulate.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

void check_labels(const int32_t* labels, int64_t n, int64_t k) {
  const auto [low, high] = std::minmax_element(labels, labels + n);
  if (n && (*low < 0 || *high >= k)) throw std::invalid_argument("a label is outside [0, k)");
}

Filter filter_of(const std::string& name) {
  if (name == "none") return Filter::none;
  if (name == "f32") return Filter::f32;
  if (name == "i8") return Filter::i8;
  if (name == "i6") return Filter::i6;
  if (name == "i16") return Filter::i16;
  if (name == "prefix") return Filter::prefix;
  throw nb::value_error(("filter '" + name + "' is not one of: none, f32, i8, i6, i16, prefix").c_str());
}

const char* filter_name(const Assigner& self) {
  constexpr const char* names[] = {"none", "f32", "i8", "i6", "i16", "prefix"};
  return names[static_cast<int>(self.filter())];
}

}  // namespace

void bind_assign(nb::module_& m) {
  nb::class_<Assigner>(m, "Assigner", "Centroids packed for exact assignment.")
      .def(
          "__init__",
          [](Assigner* self, In<float, Matrix2> centroids, const std::string& metric,
             std::optional<In<float, Vector1>> bias, std::optional<In<float, Matrix2>> basis) {
            const auto k = static_cast<int64_t>(centroids.shape(0)), d = static_cast<int64_t>(centroids.shape(1));
            if (k < 1 || d < 1) throw std::invalid_argument("centroids need at least one row and one column");
            if (bias) require_equal(static_cast<int64_t>(bias->shape(0)), k, "length of bias");
            Basis directions;
            if (basis) {
              directions = {basis->data(), static_cast<int64_t>(basis->shape(1))};
              require_equal(static_cast<int64_t>(basis->shape(0)), d, "rows of basis");
              require_equal(directions.m % 16 + (directions.m ? 0 : 16), 0, "columns of basis beyond a multiple of 16");
            }
            new (self) Assigner(centroids.data(), k, d, metric_of(metric), bias ? bias->data() : nullptr, directions);
          },
          "centroids"_a, "metric"_a, "bias"_a = nb::none(), "basis"_a = nb::none())
      .def(
          "assign",
          [](const Assigner& self, const Rows& x, std::optional<In<int32_t, Vector1>> hints, bool with_scores) {
            const RowsView view = rows_view(x);
            require_equal(view.d, self.d(), "columns of x");
            if (hints) {
              require_equal(static_cast<int64_t>(hints->shape(0)), view.n, "length of hints");
              check_labels(hints->data(), view.n, self.k());
            }
            auto labels = make_array<int32_t>({x.shape(0)});
            auto scores = make_array<float>({with_scores ? x.shape(0) : 0});
            int64_t decided;
            {
              nb::gil_scoped_release release;
              decided = self.assign(view, hints ? hints->data() : nullptr, labels.data(),
                                    with_scores ? scores.data() : nullptr);
            }
            return nb::make_tuple(labels, scores, decided);
          },
          "x"_a, "hints"_a = nb::none(), "with_scores"_a = true,
          "Returns labels (n,), scores (n,), empty without with_scores, and the number of pairs decided in float64.")
      .def_prop_rw(
          "filter", &filter_name,
          [](Assigner& self, const std::string& name) {
            const Filter filter = filter_of(name);
            if (filter == Filter::prefix && !self.has_prefix()) throw std::invalid_argument("there is no basis");
            self.force_filter(filter);
          },
          "Filter at the start: none, f32, i8, i6, i16 or prefix. Setting it is for tests; labels do not depend on "
          "it.");

  m.def(
      "accumulate",
      [](const Rows& x, In<int32_t, Vector1> labels, std::optional<In<double, Vector1>> weights,
         Out<double, Matrix2> sums, Out<double, Vector1> counts, std::optional<In<double, Vector1>> rounders) {
        const RowsView view = rows_view(x);
        const auto k = static_cast<int64_t>(sums.shape(0));
        require_equal(static_cast<int64_t>(labels.shape(0)), view.n, "length of labels");
        require_equal(static_cast<int64_t>(sums.shape(1)), view.d, "columns of sums");
        require_equal(static_cast<int64_t>(counts.shape(0)), k, "length of counts");
        if (weights) require_equal(static_cast<int64_t>(weights->shape(0)), view.n, "length of weights");
        if (rounders) require_equal(static_cast<int64_t>(rounders->shape(0)), view.d + 1, "length of rounders");
        check_labels(labels.data(), view.n, k);
        nb::gil_scoped_release release;
        accumulate(view, labels.data(), weights ? weights->data() : nullptr, rounders ? rounders->data() : nullptr,
                   sums.data(), counts.data(), k);
      },
      "x"_a, "labels"_a, "weights"_a.none(), "sums"_a, "counts"_a, "rounders"_a = nb::none(),
      "Add rows into sums[label] and counts[label] in row order; rounders (d + 1,) make the order irrelevant.");

  m.def(
      "first_row_beyond",
      [](const Rows& x, float largest) {
        if (!(largest >= 65504.0f)) throw std::invalid_argument("largest must be at least 65504");
        const RowsView view = rows_view(x);
        nb::gil_scoped_release release;
        return first_row_beyond(view, largest);
      },
      "x"_a, "largest"_a, "Index of the first row with NaN, infinity or a magnitude above `largest`, or -1.");
}

}  // namespace cluscomp::bind
