#include "cluscomp/scan.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "cluscomp/interleaved_codes.h"
#include "cluscomp/score_rows.h"
#include "codes.h"
#include "part_bits.h"
#include "parts.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Queries = In<float, Matrix2>;
using Coarse = std::optional<In<float, Matrix2>>;
using Positions = std::optional<nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu, Vector1>>;

// Lists, and the Python arrays that they point into.
struct StoredLists {
  Offsets offsets;
  Positions positions;
  Coarse coarse;
  InvertedLists lists;
};

StoredLists lists_of(Offsets offsets, Positions positions, Coarse coarse) {
  const auto count = static_cast<int64_t>(offsets.shape(0)) - 1;
  if (count < 1) throw std::invalid_argument("offsets needs at least two entries");
  const int64_t rows = offsets.data()[count];
  check_offsets(offsets, rows);
  InvertedLists lists{.offsets = offsets.data(), .count = count};
  if (positions) {
    require_equal(static_cast<int64_t>(positions->shape(0)), rows, "length of positions");
    lists.positions = positions->data();
    lists.wide_positions = positions->dtype() == nb::dtype<int64_t>();
    if (!lists.wide_positions && positions->dtype() != nb::dtype<int32_t>())
      throw nb::type_error("positions must be int32 or int64");
  }
  if (coarse) {
    require_equal(static_cast<int64_t>(coarse->shape(0)), count, "rows of coarse");
    lists.coarse = coarse->data();
  }
  return {offsets, positions, coarse, lists};
}

// search(hits) fills new arrays; runs without the GIL.
template <class Search>
nb::tuple run(const ScanCall& call, Search search) {
  if (call.k < 1) throw std::invalid_argument("k must be at least 1");
  auto scores = make_array<float>({static_cast<size_t>(call.nq), static_cast<size_t>(call.k)});
  auto positions = make_array<int64_t>({static_cast<size_t>(call.nq), static_cast<size_t>(call.k)});
  {
    nb::gil_scoped_release release;
    search(HitArrays{scores.data(), positions.data()});
  }
  return nb::make_tuple(scores, positions);
}

ScanCall call_of(const StoredParts& self, const Queries& queries, int64_t k, const std::string& metric) {
  require_equal(static_cast<int64_t>(queries.shape(1)), self.parts.form().dim(), "columns of queries");
  return {.queries = queries.data(), .nq = static_cast<int64_t>(queries.shape(0)), .k = k, .metric = metric_of(metric)};
}

void check_part(const Parts& parts, const Codes& codes, const InvertedLists& lists) {
  require_equal(lists.rows(), codes.rows(), "last offset");
  if (lists.coarse && !codes.takes_residuals()) throw std::invalid_argument("codes of this form are no residuals");
  if (!parts.count()) return;
  if (!parts.form().same_form(codes)) throw std::invalid_argument("the codes of the parts differ in form");
  require_equal(lists.count, parts.lists(), "lists of a part");
  if (lists.coarse != parts.coarse()) throw std::invalid_argument("the parts differ in their centroids");
}

StoredParts parts_of(const nb::list& codes, const std::optional<nb::list>& lists) {
  StoredParts out;
  if (!codes.size()) throw std::invalid_argument("there must be at least one part");
  if (lists) require_equal(static_cast<int64_t>(lists->size()), static_cast<int64_t>(codes.size()), "lists");
  out.whole.reserve(codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    const Codes& stored = *nb::cast<const StoredCodes&>(codes[i]);
    out.owners.emplace_back(codes[i]);
    InvertedLists of_part;
    if (lists) {
      const auto& held = nb::cast<const StoredLists&>((*lists)[i]);
      out.owners.emplace_back((*lists)[i]);
      of_part = held.lists;
      if (held.coarse) require_equal(static_cast<int64_t>(held.coarse->shape(1)), stored.dim(), "columns of coarse");
    } else {
      out.whole.push_back({0, stored.rows()});
      of_part = {.offsets = out.whole.back().data(), .count = 1};
    }
    check_part(out.parts, stored, of_part);
    out.parts.append(stored, of_part);
  }
  return out;
}

void set_probes(ScanCall& call, const In<int32_t, Matrix2>& probes, int64_t n_lists) {
  require_equal(static_cast<int64_t>(probes.shape(0)), call.nq, "rows of probes");
  const int32_t* end = probes.data() + probes.size();
  if (probes.size() && *std::max_element(probes.data(), end) >= n_lists)
    throw std::invalid_argument("a probe is not below the number of lists");
  call.probes = probes.data();
  call.n_probes = static_cast<int64_t>(probes.shape(1));
}

nb::tuple scan(const StoredParts& self, Queries queries, std::optional<In<int32_t, Matrix2>> probes, int64_t k,
               const std::string& metric, std::optional<nb::list> skip_bits, bool rough,
               std::optional<In<float, Matrix2>> bases, float bars) {
  const Parts& parts = self.parts;
  ScanCall call = call_of(self, queries, k, metric);
  std::vector<int32_t> zeros;
  if (probes) {
    set_probes(call, *probes, parts.lists());
  } else {
    require_equal(parts.lists(), 1, "lists without probes");
    zeros.assign(static_cast<size_t>(call.nq), 0);
    call.probes = zeros.data();
    call.n_probes = 1;
  }
  if (bases) {
    require_equal(static_cast<int64_t>(bases->shape(0)), call.nq, "rows of bases");
    require_equal(static_cast<int64_t>(bases->shape(1)), call.n_probes, "columns of bases");
    call.bases = bases->data();
  }
  PartBits skip;
  if (skip_bits) {
    skip = bits_of_parts(*skip_bits, parts.count(), [&](int64_t part) { return parts[part].lists.rows(); });
    call.skip = skip.bits.data();
  }
  call.rough = rough;
  if (bars > 0 && !parts.form().has_bars()) throw std::invalid_argument("codes of this form have no error bars");
  call.bars = bars;
  return run(call, [&](const HitArrays& out) { parts.form().scan(parts, call, out); });
}

nb::tuple rescore_candidates(const StoredParts& self, Queries queries, In<int64_t, Matrix2> candidates, int64_t k,
                             const std::string& metric) {
  const ScanCall call = call_of(self, queries, k, metric);
  if (!self.parts.form().by_row()) throw std::invalid_argument("interleaved codes cannot be read by row");
  require_equal(static_cast<int64_t>(candidates.shape(0)), call.nq, "rows of candidates");
  const int64_t* end = candidates.data() + candidates.size();
  if (candidates.size() && *std::max_element(candidates.data(), end) >= self.parts.rows())
    throw std::invalid_argument("a candidate is not below the number of rows");
  return run(call, [&](const HitArrays& out) {
    rescore(self.parts, call, candidates.data(), static_cast<int64_t>(candidates.shape(1)), out);
  });
}

nb::tuple rescore_bounded(const StoredParts& self, Queries queries, In<int64_t, Matrix2> candidates,
                          In<float, Matrix2> bounds, int64_t k, const std::string& metric, In<float, Vector1> slack) {
  const ScanCall call = call_of(self, queries, k, metric);
  if (!self.parts.form().by_row()) throw std::invalid_argument("interleaved codes cannot be read by row");
  require_equal(static_cast<int64_t>(candidates.shape(0)), call.nq, "rows of candidates");
  require_equal(static_cast<int64_t>(bounds.shape(0)), call.nq, "rows of bounds");
  require_equal(static_cast<int64_t>(bounds.shape(1)), static_cast<int64_t>(candidates.shape(1)), "columns of bounds");
  require_equal(static_cast<int64_t>(slack.shape(0)), call.nq, "length of slack");
  const int64_t* end = candidates.data() + candidates.size();
  if (candidates.size() && *std::max_element(candidates.data(), end) >= self.parts.rows())
    throw std::invalid_argument("a candidate is not below the number of rows");
  auto counts = make_array<int64_t>({static_cast<size_t>(call.nq)});
  const nb::tuple hits = run(call, [&](const HitArrays& out) {
    rescore_by_bound(self.parts, call, candidates.data(), static_cast<int64_t>(candidates.shape(1)),
                     {bounds.data(), slack.data(), counts.data()}, out);
  });
  return nb::make_tuple(hits[0], hits[1], counts);
}

auto scores_of_rows(const StoredCodes& codes, const StoredLists& stored, Queries queries, In<int64_t, Matrix2> rows,
                    const std::string& metric) {
  require_equal(static_cast<int64_t>(queries.shape(1)), codes->dim(), "columns of queries");
  const ScanCall call{
      .queries = queries.data(), .nq = static_cast<int64_t>(queries.shape(0)), .metric = metric_of(metric)};
  const InvertedLists& lists = stored.lists;
  const ChosenRows chosen{rows.data(), static_cast<int64_t>(rows.shape(0)), static_cast<int64_t>(rows.shape(1))};
  if (!codes->by_row()) throw std::invalid_argument("interleaved codes cannot be read by row");
  if (lists.coarse && !codes->takes_residuals()) throw std::invalid_argument("codes of this form are no residuals");
  if (lists.coarse) require_equal(static_cast<int64_t>(stored.coarse->shape(1)), codes->dim(), "columns of coarse");
  require_equal(lists.rows(), codes->rows(), "last offset");
  if (chosen.sets != 1) require_equal(chosen.sets, call.nq, "sets of rows");
  if (rows.size() && *std::max_element(rows.data(), rows.data() + rows.size()) >= codes->rows())
    throw std::invalid_argument("a row is not below the number of rows");
  auto scores = make_array<float>({static_cast<size_t>(call.nq), rows.shape(1)});
  {
    nb::gil_scoped_release release;
    score_rows(*codes, lists, call, chosen, scores.data());
  }
  return scores;
}

void interleave(Out<uint8_t, Matrix2> codes, Offsets offsets, bool undo) {
  const int64_t n_lists = check_offsets(offsets, static_cast<int64_t>(codes.shape(0)));
  nb::gil_scoped_release release;
  interleave_codes(codes.data(), static_cast<int64_t>(codes.shape(1)), offsets.data(), n_lists, undo);
}

auto taken_rows(In<uint8_t, Matrix2> codes, Offsets offsets, In<int64_t, Vector1> rows) {
  const auto n = static_cast<int64_t>(codes.shape(0)), count = static_cast<int64_t>(rows.shape(0));
  const int64_t n_lists = check_offsets(offsets, n);
  const int64_t *begin = rows.data(), *end = begin + count;
  if (count && (*std::min_element(begin, end) < 0 || *std::max_element(begin, end) >= n))
    throw std::invalid_argument("a row is not one of the codes");
  auto out = make_array<uint8_t>({rows.shape(0), codes.shape(1)});
  {
    nb::gil_scoped_release release;
    take_interleaved(codes.data(), static_cast<int64_t>(codes.shape(1)), offsets.data(), n_lists, begin, count,
                     out.data());
  }
  return out;
}

}  // namespace

void bind_scan(nb::module_& m) {
  nb::class_<StoredLists>(m, "Lists", "Which stored rows belong to which list, and where they came from.")
      .def(
          "__init__",
          [](StoredLists* self, Offsets offsets, Positions positions, Coarse coarse) {
            new (self) StoredLists(lists_of(offsets, positions, coarse));
          },
          "offsets"_a, "positions"_a = nb::none(), "coarse"_a = nb::none(),
          "offsets (n_lists + 1,): rows of list l are offsets[l] to offsets[l + 1]. positions (rows,) int32 or int64: "
          "what hits name instead of rows. coarse (n_lists, d) float32: where codes are residuals to the centroid of "
          "their list.");

  nb::class_<StoredParts>(m, "Parts", "Stored rows of one or more segments, searched as one in one call.")
      .def(
          "__init__",
          [](StoredParts* self, nb::list codes, std::optional<nb::list> lists) {
            new (self) StoredParts(parts_of(codes, lists));
          },
          "codes"_a, "lists"_a = nb::none(),
          "codes: Codes of one form, one a part. lists: Lists of each, with the same centroids; None: each part is one "
          "list of its rows. Positions count through all parts: those of a part begin behind the rows of the parts "
          "before it.")
      .def_prop_ro("n_rows", [](const StoredParts& self) { return self.parts.rows(); })
      .def("scan", &scan, "queries"_a, "probes"_a.none(), "k"_a, "metric"_a, "skip_bits"_a = nb::none(),
           "rough"_a = false, "bases"_a = nb::none(), "bars"_a = 0.0f,
           "Best k rows of the probed lists of all parts: scores (nq, k) float32, best first, and positions (nq, k) "
           "int64; missing ones -infinity and -1. probes (nq, n_probes) int32, negative = none; None where there is "
           "one list. skip_bits: of each part, (ceil(rows / 8),) uint8 or None; position p of the part is left out "
           "where "
           "bit p % 8 of byte p / 8 is 1. rough: scores only choose the candidates of a "
           "rerank, so codes may round them. bases (nq, n_probes) float32: inner products of queries with rows of "
           "`coarse`, if known. bars: so many error bars are added to every score. IndexError for a list that holds a "
           "position which its part does not have.")
      .def("rescore", &rescore_candidates, "queries"_a, "candidates"_a, "k"_a, "metric"_a,
           "Best k of the candidates (nq, c) int64, row numbers counted through all parts, of which negative ones are "
           "none, as `scan` returns them.")
      .def(
          "rescore_by_bound", &rescore_bounded, "queries"_a, "candidates"_a, "bounds"_a, "k"_a, "metric"_a, "slack"_a,
          "`rescore` of the candidates from the first on, until no bound (nq, c) float32, descending, plus slack (nq,) "
          "reaches the k-th score; also how many were scored (nq,) int64.");

  m.def(
      "score_rows", &scores_of_rows, "codes"_a, "lists"_a, "queries"_a, "rows"_a, "metric"_a,
      "Scores (nq, c) float32 of chosen rows, in their order, as `scan` gives them; -infinity where a row is negative. "
      "rows (nq or 1, c) int64: of each query, or the same of all; ascending ones are scored sooner.");

  m.def("take_interleaved", &taken_rows, "codes"_a, "offsets"_a, "rows"_a,
        "Codes (n, width) of some rows (n,) int64 of interleaved codes, as they were before.");

  m.def("interleave_codes", &interleave, "codes"_a, "offsets"_a, "undo"_a = false,
        "Transpose each run of 32 rows of a list, and the rest at its end, in place: the layout of the 4-bit shuffle "
        "scan.");
}

}  // namespace cluscomp::bind
