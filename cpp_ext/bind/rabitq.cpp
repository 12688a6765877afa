#include "cluscomp/rabitq.h"

#include <nanobind/stl/string.h>

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

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
      .def_prop_ro("dim", &Rabitq::d)
      .def_prop_ro("row_bytes", &Rabitq::row_bytes);
}

}  // namespace cluscomp::bind
