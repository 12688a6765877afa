#include "cluscomp/walk.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"
#include "cluscomp/topk.h"

namespace cluscomp {
namespace {

constexpr int64_t kQueries = 32, kRows = 8;  // of one tile of `score_pairs`: rows stay in the first-level cache
constexpr int64_t kPieceRows = 512 * kRows;  // of one piece of work

// Lists from the best on. They are put into as many buckets as there are lists, by score in equal steps; a bucket is
// sorted when it is reached.
class Ranking {
 public:
  Ranking(const float* scores, int64_t nlist) : order_(static_cast<size_t>(nlist)) {
    std::vector<float> ordered(order_.size());
    std::transform(scores, scores + nlist, ordered.begin(), ordered_score);
    const auto [least, most] = std::minmax_element(ordered.begin(), ordered.end());
    const float top = *most, range = top - *least, scale = static_cast<float>(nlist - 1) / range;
    std::vector<int32_t> bucket(order_.size(), 0);  // all in one where infinite scores leave no steps
    if (std::isfinite(range) && std::isfinite(scale))
      for (size_t i = 0; i < order_.size(); ++i)
        bucket[i] = std::min(static_cast<int32_t>((top - ordered[i]) * scale), static_cast<int32_t>(nlist - 1));
    ends_.assign(order_.size() + 1, 0);
    for (const int32_t b : bucket) ++ends_[b + 1];
    for (size_t b = 1; b < ends_.size(); ++b) ends_[b] += ends_[b - 1];
    for (size_t i = 0; i < order_.size(); ++i) order_[ends_[bucket[i]]++] = {ordered[i], static_cast<int64_t>(i)};
  }
  int64_t next() {
    if (at_ == sorted_) {
      while (ends_[bucket_] == at_) ++bucket_;
      sorted_ = ends_[bucket_];
      std::sort(order_.begin() + at_, order_.begin() + sorted_, [](const Hit& a, const Hit& b) { return a.before(b); });
    }
    return order_[at_++].position;
  }

 private:
  std::vector<Hit> order_;
  std::vector<int64_t> ends_;  // of the buckets in `order_`
  int64_t at_ = 0, sorted_ = 0;
  size_t bucket_ = 0;
};

}  // namespace

Walk walk_lists(const WalkRule& rule, const float* scores, int32_t first) {
  Ranking ranking(scores, rule.nlist);
  std::vector<uint8_t> seen(static_cast<size_t>(rule.nlist), 0);
  int64_t all = 0, budget = 0, spent = 0, best = -1;
  for (int64_t list = 0; list < rule.nlist; ++list) all += rule.passing[list];
  const auto see = [&](int64_t list) {
    seen[list] = 1;
    spent += rule.passing[list];
    if (best < 0 && rule.passing[list]) best = list;
  };
  const auto next = [&] {
    const int64_t list = ranking.next();
    return list == first ? ranking.next() : list;
  };
  int64_t count = 0;
  for (; count < rule.nprobe; ++count) {
    const int64_t list = count == 0 && first >= 0 ? first : next();
    budget += rule.live[list];
    see(list);
  }
  Walk walk;
  walk.direct = all <= budget;
  for (; !walk.direct && count < rule.most && spent < budget; ++count) see(next());
  for (; walk.direct && all && best < 0; ++count) see(next());  // all are visited, the best that counts first
  walk.rows = walk.direct ? all : spent;
  if (best >= 0) walk.lists.push_back(static_cast<int32_t>(best));
  for (int64_t list = 0; list < rule.nlist; ++list)
    if (rule.passing[list] && list != best && (walk.direct || seen[list]))
      walk.lists.push_back(static_cast<int32_t>(list));
  return walk;
}

void score_pairs(const float* queries, int64_t nq, const float* rows, int64_t n, int64_t d, Metric metric, float* out) {
  const Kernels& kern = kernels();
  const auto sums = metric == Metric::ip ? kern.dots : kern.squares;
  const int64_t pieces = (n + kPieceRows - 1) / kPieceRows, blocks = (nq + kQueries - 1) / kQueries;
  parallel_for(blocks * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task / pieces * kQueries, count = std::min(kQueries, nq - first);
      const int64_t stop = std::min(n, (task % pieces + 1) * kPieceRows);
      for (int64_t row = task % pieces * kPieceRows; row < stop; row += kRows)
        sums(queries + first * d, count, rows + row * d, std::min(kRows, stop - row), d, out + first * n + row, n);
    }
  });
  if (metric == Metric::l2) std::transform(out, out + nq * n, out, std::negate<>());
}

}  // namespace cluscomp
