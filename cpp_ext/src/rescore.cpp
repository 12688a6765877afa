#include "cluscomp/codes.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kQueries = 16;  // of one piece of work

}  // namespace

void Scorer::rescore(const int64_t* rows, int64_t n, int64_t ahead, TopK& best) {
  for_rows(rows, n, ahead, [&](int64_t row) {
    float score_of_row;
    score(row, 1, best.threshold(), &score_of_row);
    if (!(score_of_row < best.threshold())) best.push(score_of_row, row);
  });
}

void rescore(const Codes& codes, const ScanCall& call, const int64_t* candidates, int64_t c, const HitArrays& out) {
  parallel_for(call.nq, kQueries, [&](int64_t begin, int64_t end) {
    const auto scorer = codes.scorer(call.metric, nullptr);
    for (int64_t q = begin; q < end; ++q) {
      TopK best(call.k);
      scorer->set_query(call.queries + q * codes.dim());
      scorer->rescore(candidates + q * c, c, (end - q - 1) * c, best);
      best.write(out.scores + q * call.k, out.positions + q * call.k);
    }
  });
}

}  // namespace cluscomp
