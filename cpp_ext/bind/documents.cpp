#include "cluscomp/documents.h"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Offsets = In<int64_t, Vector1>;
using Lists = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu, Vector1>;
using Coarse = std::optional<In<float, Matrix2>>;
using Skip = std::optional<In<uint8_t, Vector1>>;

// Documents, and the Python arrays that they point into.
struct Stored {
  Documents documents;
  int64_t rows;
  std::unique_ptr<float, void (*)(void*)> scales;  // pages that nobody touches cost nothing
  nb::object codes, codebook, vmin, vdiff, offsets, lists, coarse, skip;
};

void check_offsets(const Offsets& offsets, int64_t rows) {
  const auto n = static_cast<int64_t>(offsets.shape(0)) - 1;
  if (n < 0 || offsets.data()[0] != 0 || offsets.data()[n] != rows)
    throw std::invalid_argument("offsets must go from 0 to the number of rows");
  for (int64_t i = 0; i < n; ++i)
    if (offsets.data()[i] > offsets.data()[i + 1]) throw std::invalid_argument("offsets must ascend");
}

// Rows are addressed by number: the largest list must exist.
void set_lists(Documents& out, const std::optional<Lists>& lists, const Coarse& coarse, int64_t rows, bool residual) {
  if (!lists || !coarse) {
    if (residual) throw std::invalid_argument("residuals need lists and centroids");
    return;
  }
  require_equal(static_cast<int64_t>(lists->shape(0)), rows, "length of lists");
  require_equal(static_cast<int64_t>(coarse->shape(1)), out.d, "columns of coarse");
  out.wide = lists->dtype() == nb::dtype<int32_t>();
  if (!out.wide && lists->dtype() != nb::dtype<uint16_t>()) throw nb::type_error("lists must be uint16 or int32");
  out.lists = lists->data();
  out.coarse = coarse->data();
  out.nlist = static_cast<int64_t>(coarse->shape(0));
  for (int64_t i = 0; i < rows; ++i)
    if (out.list(i) < 0 || out.list(i) >= out.nlist) throw std::invalid_argument("a list does not exist");
}

// What bounds need to know of product codes of 8 bits.
void set_codes(Documents& out, const PqCodebook& book, const nb::object& codes) {
  if (book.nbits() != 8) return;
  out.codebook = &book;
  out.codes = nb::cast<In<uint8_t, Matrix2>>(codes).data();
  for (int64_t i = 0; i < out.nlist; ++i) {
    double squares = 0;
    for (int64_t j = i * out.d; j < (i + 1) * out.d; ++j) squares += static_cast<double>(out.coarse[j]) * out.coarse[j];
    out.largest_centroid = std::max(out.largest_centroid, std::sqrt(squares));
  }
}

int64_t check_queries(const Stored& self, const In<float, Matrix2>& queries, const Offsets& query_offsets) {
  require_equal(static_cast<int64_t>(queries.shape(1)), self.documents.d, "columns of queries");
  check_offsets(query_offsets, static_cast<int64_t>(queries.shape(0)));
  return static_cast<int64_t>(query_offsets.shape(0)) - 1;
}

RowDecoder decoder_of(nb::object codes, nb::object codebook, nb::object vmin, nb::object vdiff, int64_t* d,
                      int64_t* n) {
  if (!codebook.is_none()) {
    const auto& book = nb::cast<const PqCodebook&>(codebook);
    const auto array = nb::cast<In<uint8_t, Matrix2>>(codes);
    require_equal(static_cast<int64_t>(array.shape(1)), book.code_size(), "columns of codes");
    *d = book.d();
    *n = static_cast<int64_t>(array.shape(0));
    return pq_decoder(book, array.data());
  }
  if (!vmin.is_none()) {
    const auto array = nb::cast<In<uint8_t, Matrix2>>(codes);
    const auto low = nb::cast<In<float, Vector1>>(vmin), range = nb::cast<In<float, Vector1>>(vdiff);
    *d = static_cast<int64_t>(array.shape(1));
    *n = static_cast<int64_t>(array.shape(0));
    require_equal(static_cast<int64_t>(low.shape(0)), *d, "length of vmin");
    require_equal(static_cast<int64_t>(range.shape(0)), *d, "length of vdiff");
    return sq8_decoder(array.data(), low.data(), range.data(), *d);
  }
  const RowsView view = rows_view(nb::cast<Rows>(codes));
  *d = view.d;
  *n = view.n;
  return rows_decoder(view);
}

}  // namespace

void bind_documents(nb::module_& m) {
  nb::class_<Stored>(m, "Documents", "Documents of several compressed vectors, ready for searches.")
      .def(
          "__init__",
          [](Stored* self, nb::object codes, Offsets offsets, nb::object codebook, nb::object vmin, nb::object vdiff,
             std::optional<Lists> lists, Coarse coarse, bool residual, bool unit, Skip skip) {
            Documents documents;
            int64_t rows = 0;
            documents.decode = decoder_of(codes, codebook, vmin, vdiff, &documents.d, &rows);
            check_offsets(offsets, rows);
            documents.n = static_cast<int64_t>(offsets.shape(0)) - 1;
            documents.offsets = offsets.data();
            documents.residual = residual;
            documents.unit = unit;
            set_lists(documents, lists, coarse, rows, residual);
            if (skip) {
              require_equal(static_cast<int64_t>(skip->shape(0)), documents.n, "length of skip");
              documents.skip = skip->data();
            }
            if (!codebook.is_none()) set_codes(documents, nb::cast<const PqCodebook&>(codebook), codes);
            documents.scales = static_cast<float*>(std::calloc(static_cast<size_t>(rows) + 1, sizeof(float)));
            if (!documents.scales) throw std::bad_alloc();
            new (self) Stored{documents,
                              rows,
                              {documents.scales, std::free},
                              codes,
                              codebook,
                              vmin,
                              vdiff,
                              nb::cast(offsets),
                              nb::cast(lists),
                              nb::cast(coarse),
                              nb::cast(skip)};
          },
          "codes"_a, "offsets"_a, "codebook"_a = nb::none(), "vmin"_a = nb::none(), "vdiff"_a = nb::none(),
          "lists"_a = nb::none(), "coarse"_a = nb::none(), "residual"_a = false, "unit"_a = false,
          "skip"_a = nb::none())
      .def(
          "search",
          [](const Stored& self, In<float, Matrix2> queries, Offsets query_offsets, int64_t k, int64_t candidates,
             int64_t nprobe) {
            if (k < 1 || candidates < k || nprobe < 1)
              throw std::invalid_argument("k and nprobe must be at least 1, candidates at least k");
            const int64_t nq = check_queries(self, queries, query_offsets);
            auto scores = make_array<float>({static_cast<size_t>(nq), static_cast<size_t>(k)});
            auto positions = make_array<int64_t>({static_cast<size_t>(nq), static_cast<size_t>(k)});
            {
              nb::gil_scoped_release release;
              search_documents(self.documents, queries.data(), query_offsets.data(), nq, {k, candidates, nprobe},
                               scores.data(), positions.data());
            }
            return nb::make_tuple(scores, positions);
          },
          "queries"_a, "query_offsets"_a, "k"_a, "candidates"_a, "nprobe"_a,
          "Best k documents: scores and positions (nq, k).")
      .def(
          "scores",
          [](const Stored& self, In<float, Matrix2> queries, Offsets query_offsets, In<int64_t, Matrix2> chosen) {
            const int64_t nq = check_queries(self, queries, query_offsets);
            require_equal(static_cast<int64_t>(chosen.shape(0)), nq, "rows of chosen");
            const int64_t* end = chosen.data() + chosen.size();
            if (chosen.size() && *std::max_element(chosen.data(), end) >= self.documents.n)
              throw std::invalid_argument("a document does not exist");
            auto scores = make_array<float>({chosen.shape(0), chosen.shape(1)});
            {
              nb::gil_scoped_release release;
              score_documents(self.documents, queries.data(), query_offsets.data(), nq, chosen.data(),
                              static_cast<int64_t>(chosen.shape(1)), scores.data());
            }
            return scores;
          },
          "queries"_a, "query_offsets"_a, "chosen"_a,
          "Scores (nq, c) of chosen documents; -inf where the number is -1.")
      .def(
          "bounds",
          [](const Stored& self, In<float, Matrix2> query, In<int64_t, Vector1> chosen) {
            require_equal(static_cast<int64_t>(query.shape(1)), self.documents.d, "columns of query");
            const int64_t *first = chosen.data(), *last = first + chosen.size();
            if (chosen.size() &&
                (*std::min_element(first, last) < 0 || *std::max_element(first, last) >= self.documents.n))
              throw std::invalid_argument("a document does not exist");
            auto bounds = make_array<double>({chosen.shape(0)});
            if (!bound_documents(self.documents, query.data(), static_cast<int64_t>(query.shape(0)), chosen.data(),
                                 static_cast<int64_t>(chosen.shape(0)), bounds.data()))
              throw std::invalid_argument("only residuals in product codes of 8 bits have bounds");
            return bounds;
          },
          "query"_a, "chosen"_a, "Upper bounds (c) of the scores of one query with chosen documents, by their codes.")
      .def(
          "vectors",
          [](const Stored& self, int64_t begin, int64_t end) {
            if (begin < 0 || end < begin || end > self.rows) throw std::invalid_argument("no such vectors");
            auto out = make_array<float>({static_cast<size_t>(end - begin), static_cast<size_t>(self.documents.d)});
            {
              nb::gil_scoped_release release;
              self.documents.vectors(begin, end, out.data());
            }
            return out;
          },
          "begin"_a, "end"_a, "Vectors (end - begin, d) that the codes stand for.");
}

}  // namespace cluscomp::bind
