#include "cluscomp/score_rows.h"

#include <algorithm>
#include <limits>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kPieceRows = 4096;  // of one query in one piece of work
constexpr float kNone = -std::numeric_limits<float>::infinity();

// Rows [begin, end) of one query. Neighbours in a list are scored together.
void score_piece(Scorer& scorer, const InvertedLists& lists, const int64_t* rows, int64_t begin, int64_t end,
                 float* scores) {
  int64_t first = 0, stop = 0;  // rows of the list that the scorer is in
  for (int64_t i = begin, next; i < end; i = next) {
    const int64_t row = rows[i];
    next = i + 1;
    if (row < 0) {
      scores[i] = kNone;
      continue;
    }
    if (row < first || row >= stop) {
      const int64_t list = std::upper_bound(lists.offsets, lists.offsets + lists.count + 1, row) - lists.offsets - 1;
      first = lists.offsets[list];
      stop = lists.offsets[list + 1];
      scorer.enter_list(list);
    }
    while (next < end && rows[next] == row + (next - i) && rows[next] < stop) ++next;
    scorer.score(row, next - i, kNone, scores + i);
    std::transform(scores + i, scores + next, scores + i, ordered_score);
  }
}

}  // namespace

void score_rows(const Codes& codes, const InvertedLists& lists, const ScanCall& call, const ChosenRows& chosen,
                float* scores) {
  const int64_t pieces = (chosen.c + kPieceRows - 1) / kPieceRows;
  parallel_for(call.nq * pieces, 1, [&](int64_t begin, int64_t end) {
    const auto scorer = codes.scorer(call.metric, lists.coarse);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t q = i / pieces, first = i % pieces * kPieceRows;
      scorer->set_query(call.queries + q * codes.dim());
      scorer->attach(codes);
      score_piece(*scorer, lists, chosen.of(q), first, std::min(first + kPieceRows, chosen.c), scores + q * chosen.c);
    }
  });
}

}  // namespace cluscomp
