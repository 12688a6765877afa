#include "cluscomp/rabitq.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

void require_widths(const std::vector<int64_t>& widths, int64_t d, int64_t code_bytes) {
  if (widths.empty() || widths.size() > 8) throw std::invalid_argument("widths must be of 1 to 8 planes");
  int64_t before = (d + 7) / 8, all = 0;
  for (int64_t width : widths) {
    if (width < 1 || width > before || (width % 2 && width != (d + 7) / 8))
      throw std::invalid_argument("widths must fall from at most ceil(d / 8), and be even if less");
    before = width;
    all += width;
  }
  if (all > code_bytes) throw std::invalid_argument("the planes are wider than code_bytes");
}

}  // namespace

void bind_rabitq(nb::module_& m) {
  nb::class_<Rabitq>(m, "Rabitq", "Codes of 1 to 8 bits a dimension around a mean, with factors and an error bar.")
      .def(
          "__init__",
          [](Rabitq* self, In<float, Vector1> mean, int bits) {
            const auto d = static_cast<int64_t>(mean.shape(0));
            if (bits < 1 || bits > 8) throw std::invalid_argument("bits must be in 1..8");
            if (d < 1 || d > Rabitq::kMostDims) throw std::invalid_argument("mean must have 1 to 131072 values");
            new (self) Rabitq(mean.data(), d, bits);
          },
          "mean"_a, "bits"_a)
      .def(
          "__init__",
          [](Rabitq* self, In<float, Vector1> mean, In<float, Matrix2> directions, In<float, Vector1> units,
             std::vector<int64_t> widths, int64_t code_bytes, float bar) {
            const auto d = static_cast<int64_t>(mean.shape(0));
            if (d < 1 || d > Rabitq::kMostTurnedDims) throw std::invalid_argument("mean must have 1 to 8192 values");
            require_equal(static_cast<int64_t>(directions.shape(0)), d, "rows of directions");
            require_equal(static_cast<int64_t>(directions.shape(1)), d, "columns of directions");
            require_equal(static_cast<int64_t>(units.shape(0)), d, "units");
            require_widths(widths, d, code_bytes);
            if (!(bar > 0)) throw std::invalid_argument("bar must be above zero");
            new (self) Rabitq(mean.data(), d,
                              {{directions.data(), directions.data() + d * d},
                               {units.data(), units.data() + d},
                               std::move(widths),
                               code_bytes,
                               bar});
          },
          "mean"_a, "directions"_a, "units"_a, "widths"_a, "code_bytes"_a, "bar"_a = 1.0f)
      .def(
          "encode",
          [](const Rabitq& self, In<float, Matrix2> x, In<float, Matrix2> whole, const std::string& metric) {
            const auto n = static_cast<int64_t>(x.shape(0));
            const Metric kind = metric_of(metric);
            require_equal(static_cast<int64_t>(x.shape(1)), self.d(), "columns of x");
            require_equal(static_cast<int64_t>(whole.shape(0)), n, "rows of whole");
            require_equal(static_cast<int64_t>(whole.shape(1)), self.d(), "columns of whole");
            auto codes = make_array<uint8_t>({x.shape(0), static_cast<size_t>(self.row_bytes())});
            nb::gil_scoped_release release;
            self.encode(x.data(), whole.data(), n, kind, codes.data());
            return codes;
          },
          "x"_a, "whole"_a, "metric"_a,
          "Codes (n, row_bytes) of rows x (n, d), which are residuals of the rows `whole`, or these themselves.")
      .def(
          "decode",
          [](const Rabitq& self, In<uint8_t, Matrix2> codes) {
            require_equal(static_cast<int64_t>(codes.shape(1)), self.row_bytes(), "columns of codes");
            auto out = make_array<float>({codes.shape(0), static_cast<size_t>(self.d())});
            nb::gil_scoped_release release;
            self.decode(codes.data(), static_cast<int64_t>(codes.shape(0)), out.data());
            return out;
          },
          "codes"_a, "Rows (n, d) nearest to what was encoded.")
      .def_prop_ro("bits", &Rabitq::bits)
      .def_prop_ro("bar", &Rabitq::bar)
      .def_prop_ro("dim", &Rabitq::d)
      .def_prop_ro("row_bytes", &Rabitq::row_bytes);
}

}  // namespace cluscomp::bind
