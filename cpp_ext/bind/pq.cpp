#include <nanobind/stl/string.h>

#include "arrays.h"
#include "cluscomp/pq.h"

namespace cluscomp::bind {

using namespace nb::literals;

void bind_pq(nb::module_& m) {
  nb::class_<PqCodebook>(m, "PqCodebook", "Codewords of a product quantizer, laid out for encoding and scanning.")
      .def(
          "__init__",
          [](PqCodebook* self, In<float, nb::ndim<3>> codebooks, int nbits) {
            if (nbits < 1 || nbits > 8) throw std::invalid_argument("nbits must be in 1..8");
            require_equal(static_cast<int64_t>(codebooks.shape(1)), int64_t{1} << nbits, "codewords per sub-space");
            new (self) PqCodebook(codebooks.data(), static_cast<int64_t>(codebooks.shape(0)),
                                  static_cast<int64_t>(codebooks.shape(2)), nbits);
          },
          "codebooks"_a, "nbits"_a)
      .def(
          "encode",
          [](const PqCodebook& self, const Rows& x) {
            const RowsView view = rows_view(x);
            require_equal(view.d, self.d(), "columns of x");
            auto codes = make_array<uint8_t>({x.shape(0), static_cast<size_t>(self.code_size())});
            nb::gil_scoped_release release;
            self.encode(view, codes.data());
            return codes;
          },
          "x"_a, "Codes (n, code_size) of the nearest codewords.")
      .def(
          "encode_score_aware",
          [](const PqCodebook& self, In<float, Matrix2> x, In<float, Matrix2> whole, float weight, int passes) {
            const auto n = static_cast<int64_t>(x.shape(0));
            require_equal(static_cast<int64_t>(x.shape(1)), self.d(), "columns of x");
            require_equal(static_cast<int64_t>(whole.shape(0)), n, "rows of whole");
            require_equal(static_cast<int64_t>(whole.shape(1)), self.d(), "columns of whole");
            auto codes = make_array<uint8_t>({x.shape(0), static_cast<size_t>(self.code_size())});
            nb::gil_scoped_release release;
            self.encode_score_aware(x.data(), whole.data(), n, weight, passes, codes.data());
            return codes;
          },
          "x"_a, "whole"_a, "weight"_a, "passes"_a, "Codes (n, code_size) that keep the scores of the rows `whole`.")
      .def(
          "decode",
          [](const PqCodebook& self, In<uint8_t, Matrix2> codes) {
            require_equal(static_cast<int64_t>(codes.shape(1)), self.code_size(), "columns of codes");
            auto out = make_array<float>({codes.shape(0), static_cast<size_t>(self.d())});
            nb::gil_scoped_release release;
            self.decode(codes.data(), static_cast<int64_t>(codes.shape(0)), out.data());
            return out;
          },
          "codes"_a, "Rows (n, d) of codewords.")
      .def(
          "tables",
          [](const PqCodebook& self, In<float, Matrix2> queries, const std::string& metric) {
            require_equal(static_cast<int64_t>(queries.shape(1)), self.d(), "columns of queries");
            const Metric kind = metric_of(metric);
            const int64_t width = self.m() * self.ksub();
            auto out =
                make_array<float>({queries.shape(0), static_cast<size_t>(self.m()), static_cast<size_t>(self.ksub())});
            nb::gil_scoped_release release;
            for (size_t q = 0; q < queries.shape(0); ++q)
              self.tables(queries.data() + q * static_cast<size_t>(self.d()), kind,
                          out.data() + static_cast<int64_t>(q) * width);
            return out;
          },
          "queries"_a, "metric"_a, "Look-up tables (nq, m, 2**nbits).")
      .def_prop_ro("m", &PqCodebook::m)
      .def_prop_ro("nbits", &PqCodebook::nbits)
      .def_prop_ro("dim", &PqCodebook::d)
      .def_prop_ro("code_size", &PqCodebook::code_size);
}

}  // namespace cluscomp::bind
