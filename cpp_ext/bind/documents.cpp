#include "cluscomp/documents.h"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>

#include "codes.h"
#include "part_bits.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using ListNumbers = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu, Vector1>;
using Coarse = std::optional<In<float, Matrix2>>;

// Documents, and the Python arrays that they point into.
struct StoredDocuments {
  StoredCodes codes;
  Offsets offsets;
  std::optional<ListNumbers> lists;
  Coarse coarse;
  std::unique_ptr<float, void (*)(void*)> scales;  // pages that nobody touches cost nothing
  Documents documents;
};

// Rows are addressed by number: the largest list must exist.
void set_lists(Documents& out, const std::optional<ListNumbers>& lists, const Coarse& coarse, int64_t rows,
               bool residual) {
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
void set_bytes(Documents& out) {
  out.bytes = dynamic_cast<const PqCodes*>(out.codes);
  if (out.bytes && out.bytes->book().nbits() != 8) out.bytes = nullptr;
  for (int64_t i = 0; out.bytes && i < out.nlist; ++i) {
    double squares = 0;
    for (int64_t j = i * out.d; j < (i + 1) * out.d; ++j) squares += static_cast<double>(out.coarse[j]) * out.coarse[j];
    const double norm = std::sqrt(squares);
    if (norm > out.largest_centroid || std::isnan(norm)) out.largest_centroid = norm;
  }
}

StoredDocuments documents_of(const StoredCodes& codes, Offsets offsets, std::optional<ListNumbers> lists, Coarse coarse,
                             bool residual, bool unit) {
  if (!codes->by_row()) throw std::invalid_argument("interleaved codes cannot be read by row");
  Documents documents;
  documents.codes = &*codes;
  documents.d = codes->dim();
  documents.n = check_offsets(offsets, codes->rows());
  documents.offsets = offsets.data();
  documents.residual = residual;
  documents.unit = unit;
  set_lists(documents, lists, coarse, codes->rows(), residual);
  set_bytes(documents);
  documents.scales = static_cast<float*>(std::calloc(static_cast<size_t>(codes->rows()) + 1, sizeof(float)));
  if (!documents.scales) throw std::bad_alloc();
  return {codes, offsets, lists, coarse, {documents.scales, std::free}, documents};
}

// Documents of several segments, and the Python objects that hold them.
struct StoredSet {
  nb::list owners;
  DocumentSet documents;

  int64_t check(const In<float, Matrix2>& queries, const Offsets& query_offsets) const {
    require_equal(static_cast<int64_t>(queries.shape(1)), documents.part(0).d, "columns of queries");
    return check_offsets(query_offsets, static_cast<int64_t>(queries.shape(0)));
  }
  void check_positions(const int64_t* begin, int64_t count) const {
    if (count && *std::max_element(begin, begin + count) >= documents.n())
      throw std::invalid_argument("a document does not exist");
  }
};

StoredSet set_of(nb::list owners) {
  if (!owners.size()) throw std::invalid_argument("a set needs at least one part");
  StoredSet out{owners, {}};
  const Documents& form = nb::cast<const StoredDocuments&>(owners[0]).documents;
  for (nb::handle owner : owners) {
    const Documents& part = nb::cast<const StoredDocuments&>(owner).documents;
    require_equal(part.d, form.d, "dimensions of a part");
    require_equal(part.nlist, form.nlist, "lists of a part");
    require_equal(part.bytes != nullptr, form.bytes != nullptr, "8-bit product codes of a part");
    if (part.bytes) require_equal(part.bytes->book().m(), form.bytes->book().m(), "sub-spaces of a part");
    out.documents.append(part);
  }
  return out;
}

nb::tuple search_set(const StoredSet& self, In<float, Matrix2> queries, Offsets query_offsets, int64_t k,
                     int64_t candidates, int64_t nprobe, std::optional<nb::list> skip_bits) {
  if (k < 1 || candidates < k || nprobe < 1)
    throw std::invalid_argument("k and nprobe must be at least 1, candidates at least k");
  const int64_t nq = self.check(queries, query_offsets);
  const PartBits skip = skip_bits ? bits_of_parts(*skip_bits, self.documents.parts(),
                                                  [&](int64_t part) { return self.documents.part(part).n; })
                                  : PartBits{};
  auto scores = make_array<float>({static_cast<size_t>(nq), static_cast<size_t>(k)});
  auto positions = make_array<int64_t>({static_cast<size_t>(nq), static_cast<size_t>(k)});
  {
    nb::gil_scoped_release release;
    search_documents(self.documents, queries.data(), query_offsets.data(), nq,
                     {k, candidates, nprobe, skip_bits ? skip.bits.data() : nullptr}, scores.data(), positions.data());
  }
  return nb::make_tuple(scores, positions);
}

nb::tuple candidates_of_set(const StoredSet& self, In<float, Matrix2> queries, Offsets query_offsets, int64_t count,
                            int64_t nprobe, std::optional<nb::list> skip_bits) {
  if (count < 1 || nprobe < 1) throw std::invalid_argument("count and nprobe must be at least 1");
  if (!self.documents.part(0).lists) throw std::invalid_argument("documents without lists have no candidates");
  const int64_t nq = self.check(queries, query_offsets);
  const PartBits skip = skip_bits ? bits_of_parts(*skip_bits, self.documents.parts(),
                                                  [&](int64_t part) { return self.documents.part(part).n; })
                                  : PartBits{};
  auto sums = make_array<float>({static_cast<size_t>(nq), static_cast<size_t>(count)});
  auto positions = make_array<int64_t>({static_cast<size_t>(nq), static_cast<size_t>(count)});
  {
    nb::gil_scoped_release release;
    choose_documents(self.documents, queries.data(), query_offsets.data(), nq,
                     {1, count, nprobe, skip_bits ? skip.bits.data() : nullptr}, sums.data(), positions.data());
  }
  return nb::make_tuple(sums, positions);
}

auto scores_of_set(const StoredSet& self, In<float, Matrix2> queries, Offsets query_offsets,
                   In<int64_t, Matrix2> chosen) {
  const int64_t nq = self.check(queries, query_offsets);
  require_equal(static_cast<int64_t>(chosen.shape(0)), nq, "rows of chosen");
  self.check_positions(chosen.data(), static_cast<int64_t>(chosen.size()));
  auto scores = make_array<float>({chosen.shape(0), chosen.shape(1)});
  {
    nb::gil_scoped_release release;
    score_documents(self.documents, queries.data(), query_offsets.data(), nq, chosen.data(),
                    static_cast<int64_t>(chosen.shape(1)), scores.data());
  }
  return scores;
}

auto bounds_of_set(const StoredSet& self, In<float, Matrix2> query, In<int64_t, Vector1> chosen) {
  const auto count = static_cast<int64_t>(chosen.size());
  require_equal(static_cast<int64_t>(query.shape(1)), self.documents.part(0).d, "columns of query");
  self.check_positions(chosen.data(), count);
  if (count && *std::min_element(chosen.data(), chosen.data() + count) < 0)
    throw std::invalid_argument("a document does not exist");
  auto bounds = make_array<double>({chosen.shape(0)});
  if (!bound_documents(self.documents, query.data(), static_cast<int64_t>(query.shape(0)), chosen.data(), count,
                       bounds.data()))
    throw std::invalid_argument("only residuals in product codes of 8 bits have bounds");
  return bounds;
}

}  // namespace

void bind_documents(nb::module_& m) {
  nb::class_<StoredDocuments>(m, "Documents", "Documents of several compressed vectors, ready for searches.")
      .def(
          "__init__",
          [](StoredDocuments* self, const StoredCodes& codes, Offsets offsets, std::optional<ListNumbers> lists,
             Coarse coarse, bool residual,
             bool unit) { new (self) StoredDocuments(documents_of(codes, offsets, lists, coarse, residual, unit)); },
          "codes"_a, "offsets"_a, "lists"_a = nb::none(), "coarse"_a = nb::none(), "residual"_a = false,
          "unit"_a = false,
          "offsets (n + 1,): document i has the vectors offsets[i] to "
          "offsets[i + 1]. lists (rows,) uint16 or int32: "
          "list of each vector. coarse (nlist, d): their centroids. residual: "
          "codes are residuals to them. unit: "
          "vectors are scaled to length one.")
      .def(
          "vectors",
          [](const StoredDocuments& self, int64_t begin, int64_t end) {
            if (begin < 0 || end < begin || end > self.codes->rows()) throw std::invalid_argument("no such vectors");
            auto out = make_array<float>({static_cast<size_t>(end - begin), static_cast<size_t>(self.documents.d)});
            {
              nb::gil_scoped_release release;
              self.documents.vectors(begin, end, out.data());
            }
            return out;
          },
          "begin"_a, "end"_a, "Vectors (end - begin, d) that the codes stand for.");

  nb::class_<StoredSet>(m, "DocumentSet", "Documents of all segments of an index, searched together.")
      .def(
          "__init__", [](StoredSet* self, nb::list parts) { new (self) StoredSet(set_of(parts)); }, "parts"_a,
          "parts: Documents of one index. The position of a document counts "
          "through all of them.")
      .def("search", &search_set, "queries"_a, "query_offsets"_a, "k"_a, "candidates"_a, "nprobe"_a,
           "skip_bits"_a = nb::none(),
           "Best k documents: scores and positions (nq, k). skip_bits: of each "
           "part, (ceil(n / 8),) uint8 or None; "
           "document i of the part is left out where bit i % 8 of byte i / 8 "
           "is 1.")
      .def("candidates", &candidates_of_set, "queries"_a, "query_offsets"_a, "count"_a, "nprobe"_a,
           "skip_bits"_a = nb::none(),
           "The documents that `search` scores as its candidates, ascending: "
           "sums of what the lists of their vectors "
           "score, and positions (nq, count); missing ones -inf and -1.")
      .def("scores", &scores_of_set, "queries"_a, "query_offsets"_a, "chosen"_a,
           "Scores (nq, c) of chosen documents; -inf where the position is -1.")
      .def("bounds", &bounds_of_set, "query"_a, "chosen"_a,
           "Upper bounds (c) of the scores of one query with chosen documents, "
           "by their codes.");
}

}  // namespace cluscomp::bind
