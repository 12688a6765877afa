#include <vector>

#include "cluscomp/codes.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kQueries = 16;  // of one piece of work

}  // namespace

void Scorer::rescore(const Parts::Place* rows, int64_t n, int64_t ahead, TopK& best) {
  for_rows(rows, n, ahead, [&](const Parts::Place& place) {
    float score_of_row;
    attach(*place.codes);
    score(place.row, 1, best.threshold(), &score_of_row);
    if (!(score_of_row < best.threshold())) best.push(score_of_row, place.position);
  });
}

void rescore(const Parts& parts, const ScanCall& call, const int64_t* candidates, int64_t c, const HitArrays& out) {
  parallel_for(call.nq, kQueries, [&](int64_t begin, int64_t end) {
    const auto scorer = parts.form().scorer(call.metric, nullptr);
    std::vector<Parts::Place> places(static_cast<size_t>((end - begin) * c), Parts::Place{nullptr, 0, -1});
    for (int64_t i = 0; i < (end - begin) * c; ++i)
      if (const int64_t position = candidates[begin * c + i]; position >= 0) places[i] = parts.at(position);
    for (int64_t q = begin; q < end; ++q) {
      TopK best(call.k);
      scorer->set_query(call.queries + q * parts.form().dim());
      scorer->rescore(places.data() + (q - begin) * c, c, (end - q - 1) * c, best);
      best.write(out.scores + q * call.k, out.positions + q * call.k);
    }
  });
}

void rescore_by_bound(const Parts& parts, const ScanCall& call, const int64_t* candidates, int64_t c,
                      const UpperBounds& upper, const HitArrays& out) {
  constexpr int64_t kAhead = 4;  // rows that are on their way while others are scored
  parallel_for(call.nq, 1, [&](int64_t begin, int64_t end) {
    const auto scorer = parts.form().scorer(call.metric, nullptr);
    for (int64_t q = begin; q < end; ++q) {
      const int64_t* rows = candidates + q * c;
      TopK best(call.k);
      scorer->set_query(call.queries + q * parts.form().dim());
      int64_t i = 0;
      for (; i < c && rows[i] >= 0; ++i) {
        if (best.full() && upper.bounds[q * c + i] + upper.slack[q] < best.threshold()) break;
        if (i + kAhead < c && rows[i + kAhead] >= 0) {
          const Parts::Place next = parts.at(rows[i + kAhead]);
          scorer->prefetch(*next.codes, next.row);
        }
        const Parts::Place place = parts.at(rows[i]);
        float score;
        scorer->attach(*place.codes);
        scorer->score(place.row, 1, best.threshold(), &score);
        if (!(score < best.threshold())) best.push(score, place.position);
      }
      upper.counts[q] = i;
      best.write(out.scores + q * call.k, out.positions + q * call.k);
    }
  });
}

}  // namespace cluscomp
