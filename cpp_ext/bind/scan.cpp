#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <optional>

#include "arrays.h"
#include "cluscomp/scan.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Queries = In<float, Matrix2>;
using Codes = In<uint8_t, Matrix2>;
using Offsets = In<int64_t, Vector1>;
using Probes = In<int32_t, Matrix2>;
using Skip = std::optional<In<uint8_t, Vector1>>;
using Positions = std::optional<nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu, Vector1>>;

void check_offsets(const Offsets& offsets, int64_t rows) {
  const size_t n_lists = offsets.shape(0) - 1;
  require_equal(offsets.data()[n_lists], rows, "last offset");
  if (offsets.data()[0] != 0 || !std::is_sorted(offsets.data(), offsets.data() + n_lists + 1))
    throw std::invalid_argument("offsets must start at 0 and never fall");
}

Lists lists_of(const Offsets& offsets, const Positions& positions, const Skip& skip, const Probes& probes,
               int64_t rows) {
  const auto n_lists = static_cast<int64_t>(offsets.shape(0)) - 1;
  if (n_lists < 1) throw std::invalid_argument("offsets needs at least two entries");
  check_offsets(offsets, rows);
  const int32_t* end = probes.data() + probes.size();
  if (probes.size() && *std::max_element(probes.data(), end) >= n_lists)
    throw std::invalid_argument("a probe is not below the number of lists");
  Lists lists{offsets.data(), nullptr, true, nullptr};
  if (positions) {
    require_equal(static_cast<int64_t>(positions->shape(0)), rows, "length of positions");
    lists.positions = positions->data();
    if (positions->dtype() == nb::dtype<int32_t>()) {
      lists.wide_positions = false;
    } else if (positions->dtype() != nb::dtype<int64_t>()) {
      throw nb::type_error("positions must be int32 or int64");
    }
  }
  if (skip) {
    require_equal(static_cast<int64_t>(skip->shape(0)), rows, "length of skip");
    lists.skip = skip->data();
  }
  return lists;
}

// search(scores, positions) fills both; runs without the GIL.
template <class Search>
nb::tuple run(const Queries& queries, const Probes& probes, int64_t k, Search search) {
  if (k < 1) throw std::invalid_argument("k must be at least 1");
  require_equal(static_cast<int64_t>(probes.shape(0)), static_cast<int64_t>(queries.shape(0)), "rows of probes");
  auto scores = make_array<float>({queries.shape(0), static_cast<size_t>(k)});
  auto positions = make_array<int64_t>({queries.shape(0), static_cast<size_t>(k)});
  {
    nb::gil_scoped_release release;
    search(scores.data(), positions.data());
  }
  return nb::make_tuple(scores, positions);
}

nb::tuple run_search(const ScorerFactory& factory, const Lists& lists, const Queries& queries, const Probes& probes,
                     int64_t k) {
  return run(queries, probes, k, [&](float* scores, int64_t* positions) {
    search_lists(factory, lists, queries.data(), static_cast<int64_t>(queries.shape(0)),
                 static_cast<int64_t>(queries.shape(1)), probes.data(), static_cast<int64_t>(probes.shape(1)), k,
                 scores, positions);
  });
}

nb::tuple run_rescore(const ScorerFactory& factory, const Queries& queries, const In<int64_t, Matrix2>& candidates,
                      int64_t k, int64_t rows) {
  if (k < 1) throw std::invalid_argument("k must be at least 1");
  require_equal(static_cast<int64_t>(candidates.shape(0)), static_cast<int64_t>(queries.shape(0)),
                "rows of candidates");
  const int64_t* end = candidates.data() + candidates.size();
  if (candidates.size() && *std::max_element(candidates.data(), end) >= rows)
    throw std::invalid_argument("a candidate is not below the number of rows");
  auto scores = make_array<float>({queries.shape(0), static_cast<size_t>(k)});
  auto positions = make_array<int64_t>({queries.shape(0), static_cast<size_t>(k)});
  {
    nb::gil_scoped_release release;
    rescore(factory, queries.data(), static_cast<int64_t>(queries.shape(0)), static_cast<int64_t>(queries.shape(1)),
            candidates.data(), static_cast<int64_t>(candidates.shape(1)), k, scores.data(), positions.data());
  }
  return nb::make_tuple(scores, positions);
}

void check_scales(const In<float, Vector1>& vmin, const In<float, Vector1>& vdiff, size_t d) {
  require_equal(static_cast<int64_t>(vmin.shape(0)), static_cast<int64_t>(d), "length of vmin");
  require_equal(static_cast<int64_t>(vdiff.shape(0)), static_cast<int64_t>(d), "length of vdiff");
}

}  // namespace

void bind_scan(nb::module_& m) {
  m.def(
      "scan_rows",
      [](Queries queries, const Rows& rows, Offsets offsets, Positions positions, Probes probes, int64_t k,
         const std::string& metric, Skip skip) {
        const RowsView view = rows_view(rows);
        require_equal(static_cast<int64_t>(queries.shape(1)), view.d, "columns of queries");
        return run_search(rows_scorer(view, metric_of(metric)), lists_of(offsets, positions, skip, probes, view.n),
                          queries, probes, k);
      },
      "queries"_a, "rows"_a, "offsets"_a, "positions"_a.none(), "probes"_a, "k"_a, "metric"_a, "skip"_a = nb::none());

  m.def(
      "scan_sq8",
      [](Queries queries, Codes codes, In<float, Vector1> vmin, In<float, Vector1> vdiff, Offsets offsets,
         Positions positions, Probes probes, int64_t k, const std::string& metric, Skip skip) {
        require_equal(static_cast<int64_t>(queries.shape(1)), static_cast<int64_t>(codes.shape(1)),
                      "columns of queries");
        check_scales(vmin, vdiff, codes.shape(1));
        const auto factory = sq8_scorer(codes.data(), vmin.data(), vdiff.data(), static_cast<int64_t>(codes.shape(1)),
                                        metric_of(metric));
        return run_search(factory, lists_of(offsets, positions, skip, probes, static_cast<int64_t>(codes.shape(0))),
                          queries, probes, k);
      },
      "queries"_a, "codes"_a, "vmin"_a, "vdiff"_a, "offsets"_a, "positions"_a.none(), "probes"_a, "k"_a, "metric"_a,
      "skip"_a = nb::none());

  m.def(
      "scan_pq",
      [](Queries queries, Codes codes, const PqCodebook& codebook, Offsets offsets, Positions positions, Probes probes,
         int64_t k, const std::string& metric, Skip skip, std::optional<In<float, Matrix2>> coarse, bool interleaved,
         bool rough, std::optional<In<float, Matrix2>> bases) {
        require_equal(static_cast<int64_t>(queries.shape(1)), codebook.d(), "columns of queries");
        if (interleaved && codebook.nbits() != 4) throw std::invalid_argument("only 4-bit codes are interleaved");
        require_equal(static_cast<int64_t>(codes.shape(1)), codebook.code_size(), "columns of codes");
        if (coarse) {
          require_equal(static_cast<int64_t>(coarse->shape(0)), static_cast<int64_t>(offsets.shape(0)) - 1,
                        "rows of coarse");
          require_equal(static_cast<int64_t>(coarse->shape(1)), codebook.d(), "columns of coarse");
        }
        const Lists view = lists_of(offsets, positions, skip, probes, static_cast<int64_t>(codes.shape(0)));
        const float* centroids = coarse ? coarse->data() : nullptr;
        if (!interleaved)
          return run_search(pq_scorer(codebook, codes.data(), centroids, metric_of(metric)), view, queries, probes, k);
        const FourBitCodes stored{codebook, codes.data(), centroids, metric_of(metric), rough};
        if (bases) {
          require_equal(static_cast<int64_t>(bases->shape(0)), static_cast<int64_t>(probes.shape(0)), "rows of bases");
          require_equal(static_cast<int64_t>(bases->shape(1)), static_cast<int64_t>(probes.shape(1)),
                        "columns of bases");
          if (!centroids || stored.metric != Metric::ip)
            throw std::invalid_argument("bases are inner products with coarse");
        }
        return run(queries, probes, k, [&](float* scores, int64_t* found) {
          search_interleaved(stored, view, static_cast<int64_t>(offsets.shape(0)) - 1, queries.data(),
                             static_cast<int64_t>(queries.shape(0)), probes.data(), bases ? bases->data() : nullptr,
                             static_cast<int64_t>(probes.shape(1)), k, scores, found);
        });
      },
      "queries"_a, "codes"_a, "codebook"_a, "offsets"_a, "positions"_a.none(), "probes"_a, "k"_a, "metric"_a,
      "skip"_a = nb::none(), "coarse"_a = nb::none(), "interleaved"_a = false, "rough"_a = false,
      "bases"_a = nb::none());

  m.def(
      "interleave_codes",
      [](Out<uint8_t, Matrix2> codes, Offsets offsets, bool undo) {
        const auto n_lists = static_cast<int64_t>(offsets.shape(0)) - 1;
        if (n_lists < 0) throw std::invalid_argument("offsets is empty");
        check_offsets(offsets, static_cast<int64_t>(codes.shape(0)));
        nb::gil_scoped_release release;
        interleave_codes(codes.data(), static_cast<int64_t>(codes.shape(1)), offsets.data(), n_lists, undo);
      },
      "codes"_a, "offsets"_a, "undo"_a = false,
      "Transpose each run of 32 rows of a list, and the rest at its end, in place: the layout of the 4-bit shuffle "
      "scan.");

  m.def(
      "rescore_rows",
      [](Queries queries, const Rows& rows, In<int64_t, Matrix2> candidates, int64_t k, const std::string& metric) {
        const RowsView view = rows_view(rows);
        require_equal(static_cast<int64_t>(queries.shape(1)), view.d, "columns of queries");
        return run_rescore(rows_scorer(view, metric_of(metric)), queries, candidates, k, view.n);
      },
      "queries"_a, "rows"_a, "candidates"_a, "k"_a, "metric"_a);

  m.def(
      "rescore_sq8",
      [](Queries queries, Codes codes, In<float, Vector1> vmin, In<float, Vector1> vdiff,
         In<int64_t, Matrix2> candidates, int64_t k, const std::string& metric) {
        require_equal(static_cast<int64_t>(queries.shape(1)), static_cast<int64_t>(codes.shape(1)),
                      "columns of queries");
        check_scales(vmin, vdiff, codes.shape(1));
        const auto factory = sq8_scorer(codes.data(), vmin.data(), vdiff.data(), static_cast<int64_t>(codes.shape(1)),
                                        metric_of(metric));
        return run_rescore(factory, queries, candidates, k, static_cast<int64_t>(codes.shape(0)));
      },
      "queries"_a, "codes"_a, "vmin"_a, "vdiff"_a, "candidates"_a, "k"_a, "metric"_a);
}

}  // namespace cluscomp::bind
