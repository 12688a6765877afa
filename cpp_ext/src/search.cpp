#include "cluscomp/search.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "cluscomp/codes.h"

namespace cluscomp {

bool EveryList::choose(const float*, int64_t nq, int64_t count, int32_t* lists, float*) const {
  for (int64_t q = 0; q < nq; ++q) std::iota(lists + q * count, lists + (q + 1) * count, 0);
  return false;
}

bool NearestList::choose(const float* queries, int64_t nq, int64_t, int32_t* lists, float*) const {
  const int64_t d = centroids_.d();
  centroids_.assign({queries, RowType::f32, nq, d, d}, nullptr, lists, nullptr);
  return false;
}

int64_t RankedLists::dim() const { return centroids_.form().dim(); }

bool RankedLists::choose(const float* queries, int64_t nq, int64_t count, int32_t* lists, float* products) const {
  const std::vector<int32_t> whole(static_cast<size_t>(nq), 0);
  std::vector<int64_t> found(static_cast<size_t>(nq * count));
  const ScanCall call{
      .queries = queries, .nq = nq, .probes = whole.data(), .n_probes = 1, .k = count, .metric = metric_};
  centroids_.form().scan(centroids_, call, {products, found.data()});
  std::transform(found.begin(), found.end(), lists, [](int64_t list) { return static_cast<int32_t>(list); });
  return metric_ == Metric::ip;
}

void search(const Searched& searched, const SearchCall& call, int32_t* lists, const HitArrays& out) {
  const Parts& rows = *searched.rows;
  ScanCall scan{.queries = call.projected,
                .nq = call.nq,
                .probes = lists,
                .n_probes = call.n_lists,
                .k = call.k,
                .metric = searched.metric,
                .skip = searched.skip};
  std::vector<float> products;
  if (call.chooser) {
    products.resize(static_cast<size_t>(call.nq * call.n_lists));
    if (call.chooser->choose(call.projected, call.nq, call.n_lists, lists, products.data()))
      scan.bases = products.data();
  } else {
    std::fill_n(lists, call.nq * call.n_lists, 0);
  }
  if (!searched.finer) {
    rows.form().scan(rows, scan, out);
    return;
  }
  scan.k = call.candidates;
  scan.rough = true;
  std::vector<float> scores(static_cast<size_t>(call.nq * scan.k));
  std::vector<int64_t> positions(scores.size());
  rows.form().scan(rows, scan, {scores.data(), positions.data()});
  const ScanCall again{.queries = call.queries, .nq = call.nq, .k = call.k, .metric = searched.metric};
  rescore(*searched.finer, again, positions.data(), scan.k, out);
}

}  // namespace cluscomp
