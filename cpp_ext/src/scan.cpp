#include "cluscomp/scan.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "cluscomp/parallel.h"
#include "cluscomp/topk.h"
#include "visits.h"

namespace cluscomp {
namespace {

constexpr int64_t kScanRows = 256;  // rows scored between two looks at the threshold
constexpr int64_t kWholeList = int64_t{1} << 40;
constexpr int64_t kRescoreQueries = 16;

struct Range {
  int64_t list, begin, end;
};

void keep(const Lists& lists, int64_t row, int64_t n, const float* scores, TopK& best) {
  float threshold = best.threshold();
  for (int64_t i = 0; i < n; ++i) {
    if (scores[i] < threshold || (lists.skip && lists.skip[row + i])) continue;
    best.push(scores[i], lists.position(row + i));
    threshold = best.threshold();
  }
}

void scan_range(Scorer& scorer, const Lists& lists, const Range& range, TopK& best) {
  float scores[kScanRows];
  scorer.enter_list(range.list);
  for (int64_t row = range.begin; row < range.end; row += kScanRows) {
    const int64_t n = std::min(kScanRows, range.end - row);
    scorer.score(row, n, best.threshold(), scores);
    keep(lists, row, n, scores, best);
  }
}

// Few queries: the rows of one query are shared out. Any cut gives the same result, since the order is total.
TopK search_split(const ScorerFactory& factory, const Lists& lists, const float* query,
                  const std::vector<Visit>& visits, int64_t k) {
  int64_t total = 0;
  for (const Visit& visit : visits) total += visit.end - visit.begin;
  const int64_t wanted = std::max<int64_t>(4 * kScanRows, total / (4 * num_threads()) + 1);
  const int64_t piece_rows = (wanted + kScanRows - 1) / kScanRows * kScanRows;
  std::vector<std::vector<Range>> pieces(1);
  int64_t filled = 0;
  for (const Visit& visit : visits) {
    Range range{visit.list, visit.begin, visit.end};
    while (range.begin < range.end) {
      const int64_t room = (piece_rows - filled + kScanRows - 1) / kScanRows * kScanRows;
      const int64_t take = std::min(range.end - range.begin, room);
      pieces.back().push_back({range.list, range.begin, range.begin + take});
      range.begin += take;
      filled += take;
      if (filled >= piece_rows) {
        pieces.emplace_back();
        filled = 0;
      }
    }
  }
  std::vector<TopK> found(pieces.size(), TopK(k));
  parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    const auto scorer = factory();
    scorer->set_query(query);
    for (int64_t i = begin; i < end; ++i)
      for (const Range& range : pieces[i]) scan_range(*scorer, lists, range, found[i]);
  });
  for (size_t i = 1; i < found.size(); ++i) found[0].merge(found[i]);
  return found[0];
}

// Queries whose visits are at the same rows take turns at every block of them.
void search_together(const ScorerFactory& factory, const Lists& lists, const float* queries, int64_t d,
                     const std::vector<Visit>& visits, std::vector<TopK>& best) {
  std::vector<std::unique_ptr<Scorer>> scorers;
  for (size_t q = 0; q < best.size(); ++q) {
    scorers.push_back(factory());
    scorers.back()->set_query(queries + static_cast<int64_t>(q) * d);
  }
  for (size_t first = 0, last; first < visits.size(); first = last) {
    for (last = first + 1; last < visits.size() && visits[last].same_rows(visits[first]);) ++last;
    const Visit& rows = visits[first];
    const int64_t step =
        last - first > 1 ? kScanRows : rows.end;  // a scorer enters a list once where it is alone there
    for (int64_t row = rows.begin; row < rows.end; row += step) {
      check_interrupt();
      const Range block{rows.list, row, std::min(row + step, rows.end)};
      for (size_t i = first; i < last; ++i) {
        const auto q = static_cast<size_t>(visits[i].query);
        scan_range(*scorers[q], lists, block, best[q]);
      }
    }
  }
}

}  // namespace

void search_lists(const ScorerFactory& factory, const Lists& lists, const float* queries, int64_t nq, int64_t d,
                  const int32_t* probes, int64_t n_probes, int64_t k, float* scores, int64_t* positions) {
  if (nq < 2 * num_threads()) {
    for (int64_t q = 0; q < nq; ++q) {
      const auto visits = visits_of(lists, probes, n_probes, q, q + 1, kWholeList);
      search_split(factory, lists, queries + q * d, visits, k).write(scores + q * k, positions + q * k);
    }
    return;
  }
  const int64_t together = std::min(factory()->together(), (nq + num_threads() - 1) / num_threads());
  parallel_for(nq, together, [&](int64_t begin, int64_t end) {
    std::vector<TopK> best(static_cast<size_t>(end - begin), TopK(k));
    const auto visits = visits_of(lists, probes, n_probes, begin, end, kWholeList);
    search_together(factory, lists, queries + begin * d, d, visits, best);
    for (int64_t q = begin; q < end; ++q) best[q - begin].write(scores + q * k, positions + q * k);
  });
}

void Scorer::rescore(const int64_t* rows, int64_t n, int64_t ahead, TopK& best) {
  for_rows(rows, n, ahead, [&](int64_t row) {
    float score_of_row;
    score(row, 1, best.threshold(), &score_of_row);
    if (!(score_of_row < best.threshold())) best.push(score_of_row, row);
  });
}

void rescore(const ScorerFactory& factory, const float* queries, int64_t nq, int64_t d, const int64_t* candidates,
             int64_t c, int64_t k, float* scores, int64_t* positions) {
  parallel_for(nq, kRescoreQueries, [&](int64_t begin, int64_t end) {
    const auto scorer = factory();
    for (int64_t q = begin; q < end; ++q) {
      TopK best(k);
      scorer->set_query(queries + q * d);
      scorer->rescore(candidates + q * c, c, (end - q - 1) * c, best);
      best.write(scores + q * k, positions + q * k);
    }
  });
}

}  // namespace cluscomp
