#include "cluscomp/walk.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "arrays.h"
#include "cluscomp/parallel.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

using Scores = In<float, Matrix2>;
using Counts = In<int64_t, Vector1>;

constexpr int64_t kQueries = 16;  // of one piece of work

std::vector<Walk> walks(const WalkRule& rule, const Scores& scores, const int32_t* first) {
  std::vector<Walk> made(scores.shape(0));
  parallel_for(static_cast<int64_t>(made.size()), kQueries, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; ++q)
      made[q] = walk_lists(rule, scores.data() + q * rule.nlist, first ? first[q] : -1);
  });
  return made;
}

nb::tuple walk(Scores scores, Counts live, Counts passing, int64_t nprobe, int64_t most,
               std::optional<In<int32_t, Vector1>> first, bool with_scores) {
  const size_t nq = scores.shape(0);
  const auto nlist = static_cast<int64_t>(scores.shape(1));
  require_equal(static_cast<int64_t>(live.shape(0)), nlist, "length of live");
  require_equal(static_cast<int64_t>(passing.shape(0)), nlist, "length of passing");
  if (nprobe < 1 || nprobe > most || most > nlist)
    throw std::invalid_argument("1 <= nprobe <= most <= lists is not so");
  if (first) {
    require_equal(static_cast<int64_t>(first->shape(0)), static_cast<int64_t>(nq), "length of first");
    const int32_t* end = first->data() + nq;
    if (nq && *std::max_element(first->data(), end) >= nlist)
      throw std::invalid_argument("a first list is not below the number of lists");
  }
  const WalkRule rule{nlist, live.data(), passing.data(), nprobe, most};
  std::vector<Walk> made;
  {
    nb::gil_scoped_release release;
    made = walks(rule, scores, first ? first->data() : nullptr);
  }
  size_t width = 1;
  for (const Walk& each : made) width = std::max(width, each.lists.size());
  auto lists = make_array<int32_t>({nq, width});
  auto products = make_array<float>({with_scores ? nq : 0, width});
  auto probed = make_array<int64_t>({nq}), rows = make_array<int64_t>({nq});
  auto direct = make_array<bool>({nq});
  for (size_t q = 0; q < nq; ++q) {
    const std::vector<int32_t>& own = made[q].lists;
    int32_t* to = lists.data() + q * width;
    std::fill(std::copy(own.begin(), own.end(), to), to + width, -1);
    for (size_t i = 0; with_scores && i < width; ++i)
      products.data()[q * width + i] = i < own.size() ? scores.data()[q * scores.shape(1) + own[i]] : 0.0f;
    probed.data()[q] = static_cast<int64_t>(own.size());
    rows.data()[q] = made[q].rows;
    direct.data()[q] = made[q].direct;
  }
  return nb::make_tuple(lists, with_scores ? nb::cast(products) : nb::none(), probed, rows, direct);
}

auto pairs(In<float, Matrix2> queries, In<float, Matrix2> rows, const std::string& metric) {
  require_equal(static_cast<int64_t>(queries.shape(1)), static_cast<int64_t>(rows.shape(1)), "columns of queries");
  auto scores = make_array<float>({queries.shape(0), rows.shape(0)});
  const Metric of = metric_of(metric);
  {
    nb::gil_scoped_release release;
    score_pairs(queries.data(), static_cast<int64_t>(queries.shape(0)), rows.data(),
                static_cast<int64_t>(rows.shape(0)), static_cast<int64_t>(rows.shape(1)), of, scores.data());
  }
  return scores;
}

}  // namespace

void bind_walk(nb::module_& m) {
  m.def("score_pairs", &pairs, "queries"_a, "rows"_a, "metric"_a,
        "Scores (nq, n) float32 of queries (nq, d) with float32 rows (n, d), as `Parts.scan` of such rows gives them.");
  m.def("walk_lists", &walk, "scores"_a, "live"_a, "passing"_a, "nprobe"_a, "most"_a, "first"_a = nb::none(),
        "with_scores"_a = false,
        "Lists that queries visit where only some rows may be found. scores (nq, nlist) float32: of the lists, by "
        "which they are seen, larger ones first. live, passing (nlist,) int64: rows of each list that are not deleted, "
        "and of these the rows that pass. first (nq,) int32: a list that goes before all others. Returns lists (nq, "
        "w) int32 with passing rows, the best first, then ascending, -1 for none; their scores (nq, w) or None; lists "
        "visited, rows that pass in them, both (nq,) int64; and (nq,) bool: all rows that pass were no more than the "
        "budget, the live rows of the first nprobe lists.");
}

}  // namespace cluscomp::bind
