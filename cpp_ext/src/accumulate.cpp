#include "cluscomp/accumulate.h"

#include <algorithm>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {

namespace {

constexpr int64_t kNearSums = 1 << 15;  // float64 sums that stay in the caches of a core: 256 KB

// One row after the other; rows that are no float32 are converted.
template <class Body>
void for_rows(const RowsView& x, const Body& body) {
  std::vector<float> row(static_cast<size_t>(x.type == RowType::f32 ? 0 : x.d));
  body([&, converted = row.data()](int64_t i) {
    if (x.type == RowType::f32) return static_cast<const float*>(x.row(i));
    load_rows(x, i, i + 1, converted, x.d);
    return static_cast<const float*>(converted);
  });
}

}  // namespace

void accumulate(const RowsView& x, const int32_t* labels, const double* weights, const double* rounders, double* sums,
                double* counts, int64_t k) {
  const Kernels& kern = kernels();
  const auto add = [&](int64_t i, int64_t c, const float* values) {
    const double weight = weights ? weights[i] : 1.0;
    if (rounders) {
      kern.add_rounded_f64(sums + c * x.d, values, weight, rounders, x.d);
      counts[c] += (weight + rounders[x.d]) - rounders[x.d];
    } else {
      kern.add_f64(sums + c * x.d, values, weight, x.d);
      counts[c] += weight;
    }
  };
  if (alone() && k * x.d <= kNearSums) {
    for_rows(x, [&](auto values) {
      for (int64_t i = 0; i < x.n; ++i) add(i, labels[i], values(i));
    });
    return;
  }
  // Counting sort by label keeps row order inside a cluster; each cluster is then summed by one thread.
  std::vector<int64_t> start(static_cast<size_t>(k + 1), 0), order(static_cast<size_t>(x.n));
  for (int64_t i = 0; i < x.n; ++i) ++start[labels[i] + 1];
  for (int64_t c = 0; c < k; ++c) start[c + 1] += start[c];
  std::vector<int64_t> next(start.begin(), start.end() - 1);
  for (int64_t i = 0; i < x.n; ++i) order[next[labels[i]]++] = i;

  const int64_t grain = std::max<int64_t>(1, k / (8 * num_threads()));
  parallel_for(k, grain, [&](int64_t begin, int64_t end) {
    for_rows(x, [&](auto values) {
      for (int64_t c = begin; c < end; ++c)
        for (int64_t at = start[c]; at < start[c + 1]; ++at) add(order[at], c, values(order[at]));
    });
  });
}

}  // namespace cluscomp
