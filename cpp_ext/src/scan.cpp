#include "cluscomp/scan.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "cluscomp/codes.h"
#include "cluscomp/parallel.h"
#include "cluscomp/topk.h"
#include "visits.h"

namespace cluscomp {
namespace {

constexpr int64_t kScanRows = 256;  // rows scored between two looks at the threshold
constexpr int64_t kWholeList = int64_t{1} << 40;

// What all threads read.
struct Search {
  const Parts& parts;
  const ScanCall& call;

  std::unique_ptr<Scorer> scorer(int64_t q) const {
    auto scorer = parts.form().scorer(call.metric, parts.coarse());
    scorer->set_query(call.queries + q * parts.form().dim());
    return scorer;
  }
};

void keep(const Search& search, const Parts::Part& part, int64_t row, int64_t n, const float* scores, TopK& best) {
  float threshold = best.threshold();
  for (int64_t i = 0; i < n; ++i) {
    if (scores[i] < threshold) continue;
    const int64_t position = part.position(row + i);
    if (search.call.skips(part, position)) continue;
    best.push(scores[i], part.first + position);
    threshold = best.threshold();
  }
}

void scan_range(Scorer& scorer, const Search& search, const Range& range, TopK& best) {
  float scores[kScanRows];
  scorer.attach(*range.part->codes);
  scorer.enter_list(range.list);
  for (int64_t row = range.begin; row < range.end; row += kScanRows) {
    const int64_t n = std::min(kScanRows, range.end - row);
    scorer.score(row, n, best.threshold(), scores);
    keep(search, *range.part, row, n, scores, best);
  }
}

// Few queries: the rows of one query are shared out. Any cut gives the same result, since the order is total.
TopK search_split(const Search& search, int64_t q) {
  std::vector<Range> ranges;
  int64_t total = 0;
  for (const Visit& visit : visits_of(search.call, q, q + 1))
    each_range(search.parts, visit.list, kWholeList, [&](const Range& range) {
      ranges.push_back(range);
      total += range.end - range.begin;
    });
  const int64_t wanted = std::max<int64_t>(4 * kScanRows, total / (4 * num_threads()) + 1);
  const int64_t piece_rows = (wanted + kScanRows - 1) / kScanRows * kScanRows;
  std::vector<std::vector<Range>> pieces(1);
  int64_t filled = 0;
  for (Range range : ranges) {
    while (range.begin < range.end) {
      const int64_t room = (piece_rows - filled + kScanRows - 1) / kScanRows * kScanRows;
      const int64_t take = std::min(range.end - range.begin, room);
      pieces.back().push_back({range.part, range.list, range.begin, range.begin + take});
      range.begin += take;
      filled += take;
      if (filled >= piece_rows) {
        pieces.emplace_back();
        filled = 0;
      }
    }
  }
  std::vector<TopK> found(pieces.size(), TopK(search.call.k));
  parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end) {
    const auto scorer = search.scorer(q);
    for (int64_t i = begin; i < end; ++i)
      for (const Range& range : pieces[i]) scan_range(*scorer, search, range, found[i]);
  });
  for (size_t i = 1; i < found.size(); ++i) found[0].merge(found[i]);
  return found[0];
}

// Queries [begin, end); those that visit the same rows take turns at every block of them.
std::vector<TopK> search_together(const Search& search, int64_t begin, int64_t end) {
  std::vector<TopK> best(static_cast<size_t>(end - begin), TopK(search.call.k));
  const auto visits = visits_of(search.call, begin, end);
  std::vector<std::unique_ptr<Scorer>> scorers;
  for (int64_t q = begin; q < end; ++q) scorers.push_back(search.scorer(q));
  for (size_t first = 0, last; first < visits.size(); first = last) {
    last = end_of_visits(visits, first);
    const int64_t step = last - first > 1 ? kScanRows : kWholeList;  // a scorer enters a list once where it is alone
    each_range(search.parts, visits[first].list, step, [&](const Range& block) {
      check_interrupt();
      for (size_t i = first; i < last; ++i) {
        const auto q = static_cast<size_t>(visits[i].query);
        scan_range(*scorers[q], search, block, best[q]);
      }
    });
  }
  return best;
}

}  // namespace

void scan_lists(const Parts& parts, const ScanCall& call, const HitArrays& out) {
  const Search search{parts, call};
  const int64_t k = call.k, threads = num_threads();
  if (call.nq < 2 * threads) {
    for (int64_t q = 0; q < call.nq; ++q) search_split(search, q).write(out.scores + q * k, out.positions + q * k);
    return;
  }
  const int64_t together = parts.form().scorer(call.metric, parts.coarse())->together();
  parallel_for(call.nq, std::min(together, (call.nq + threads - 1) / threads), [&](int64_t begin, int64_t end) {
    std::vector<TopK> best = search_together(search, begin, end);
    for (int64_t q = begin; q < end; ++q) best[q - begin].write(out.scores + q * k, out.positions + q * k);
  });
}

}  // namespace cluscomp
