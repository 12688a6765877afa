#include "codes.h"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "cluscomp/pq_codes.h"
#include "cluscomp/prescreen.h"
#include "cluscomp/rabitq_codes.h"
#include "cluscomp/sq8_codes.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Bytes = In<uint8_t, Matrix2>;
using Floats = In<float, Vector1>;

// `owners` live as long as the codes.
template <class Form, class... Owners>
StoredCodes keep(std::shared_ptr<Form> codes, Owners... owners) {
  return {std::move(codes), std::make_shared<std::tuple<Owners...>>(std::move(owners)...)};
}

StoredCodes floats(Rows rows) { return keep(std::make_shared<FloatCodes>(rows_view(rows)), rows); }

StoredCodes sq8(Bytes codes, Floats vmin, Floats vdiff, std::optional<Floats> scales) {
  const auto n = static_cast<int64_t>(codes.shape(0)), d = static_cast<int64_t>(codes.shape(1));
  require_equal(static_cast<int64_t>(vmin.shape(0)), d, "length of vmin");
  require_equal(static_cast<int64_t>(vdiff.shape(0)), d, "length of vdiff");
  if (scales) {
    require_equal(static_cast<int64_t>(scales->shape(0)), n, "length of scales");
    if (!std::all_of(scales->data(), scales->data() + n, [](float scale) { return scale > 0; }))
      throw std::invalid_argument("scales must be above 0");
  }
  const float* factors = scales ? scales->data() : nullptr;
  return keep(std::make_shared<Sq8Codes>(codes.data(), n, d, vmin.data(), vdiff.data(), factors), codes, vmin, vdiff,
              scales);
}

StoredCodes pq(Bytes codes, nb::object codebook, bool interleaved, bool across_lists) {
  const auto& book = nb::cast<const PqCodebook&>(codebook);
  if (across_lists && !interleaved) throw std::invalid_argument("only interleaved codes have groups across lists");
  if (interleaved && book.nbits() != 4) throw std::invalid_argument("only 4-bit codes are interleaved");
  require_equal(static_cast<int64_t>(codes.shape(1)), book.code_size(), "columns of codes");
  const auto n = static_cast<int64_t>(codes.shape(0));
  const PqLayout layout = across_lists  ? PqLayout::groups_across_lists
                          : interleaved ? PqLayout::groups
                                        : PqLayout::rows;
  return keep(std::make_shared<PqCodes>(book, codes.data(), n, layout), codes, codebook);
}

StoredCodes rabitq(Bytes codes, nb::object form, bool interleaved) {
  const auto& rabitq = nb::cast<const Rabitq&>(form);
  require_equal(static_cast<int64_t>(codes.shape(1)), rabitq.row_bytes(), "columns of codes");
  const auto n = static_cast<int64_t>(codes.shape(0));
  return keep(std::make_shared<RabitqCodes>(rabitq, codes.data(), n, interleaved), codes, form);
}

StoredCodes prescreened(Rows rows, In<uint8_t, Vector1> values, Floats terms, Floats frame) {
  const RowsView view = rows_view(rows);
  require_equal(static_cast<int64_t>(values.shape(0)), prescreen_value_bytes(view.n, view.d), "length of values");
  require_equal(static_cast<int64_t>(terms.shape(0)), prescreen_term_count(view.n), "length of terms");
  require_equal(static_cast<int64_t>(frame.shape(0)), view.d + 1, "length of frame");
  const PrescreenView prescreen{values.data(), terms.data(), frame.data(), frame.data()[view.d]};
  return keep(std::make_shared<PrescreenedCodes>(view, prescreen), rows, values, terms, frame);
}

int64_t rows_scored(const StoredCodes& self) {
  const auto* codes = dynamic_cast<const PrescreenedCodes*>(self.codes.get());
  return codes ? codes->rows_scored() : 0;
}

}  // namespace

void bind_codes(nb::module_& m) {
  nb::class_<StoredCodes>(m, "Codes", "Stored rows in one form, as scans, reranks and documents read them.")
      .def_static("floats", &floats, "rows"_a, "Rows (n, d) float32, float16 or bfloat16 bits.")
      .def_static(
          "sq8", &sq8, "codes"_a, "vmin"_a, "vdiff"_a, "scales"_a = nb::none(),
          "Codes (n, d) uint8 for vmin + (code + 0.5) / 255 * vdiff, both (d,). scales (n,): of each row, which "
          "multiply it; then only inner products are scored.")
      .def_static("pq", &pq, "codes"_a, "codebook"_a, "interleaved"_a = false, "across_lists"_a = false,
                  "Product codes (n, code_size); interleaved: 4-bit ones that went through `interleave_codes`; "
                  "across_lists: with all rows as one list, whatever lists they are in.")
      .def_static("rabitq", &rabitq, "codes"_a, "form"_a, "interleaved"_a = false,
                  "RaBitQ codes (n, row_bytes) of this `Rabitq`; interleaved: they went through `interleave_codes`.")
      .def_static("prescreened", &prescreened, "rows"_a, "values"_a, "terms"_a, "frame"_a,
                  "Float rows (n, d) with their 8-bit prescreen; frame (d + 1): the mean that was taken off, then the "
                  "largest norm. Scans give the hits of `floats`, sooner.")
      .def_prop_ro("n_rows", [](const StoredCodes& self) { return self->rows(); })
      .def_prop_ro("dim", [](const StoredCodes& self) { return self->dim(); })
      .def_prop_ro("rows_scored", &rows_scored, "Rows that the scans of prescreened rows have scored so far.");
}

}  // namespace cluscomp::bind
