#include "cluscomp/accumulate.h"

#include <algorithm>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {

void accumulate(const RowsView& x, const int32_t* labels, const double* weights, double* sums, double* counts,
                int64_t k) {
  // Counting sort by label keeps row order inside a cluster; each cluster is then summed by one thread.
  std::vector<int64_t> start(static_cast<size_t>(k + 1), 0), order(static_cast<size_t>(x.n));
  for (int64_t i = 0; i < x.n; ++i) ++start[labels[i] + 1];
  for (int64_t c = 0; c < k; ++c) start[c + 1] += start[c];
  std::vector<int64_t> next(start.begin(), start.end() - 1);
  for (int64_t i = 0; i < x.n; ++i) order[next[labels[i]]++] = i;

  const Kernels& kern = kernels();
  const int64_t grain = std::max<int64_t>(1, k / (8 * num_threads()));
  parallel_for(k, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(x.d));
    for (int64_t c = begin; c < end; ++c) {
      for (int64_t at = start[c]; at < start[c + 1]; ++at) {
        const int64_t i = order[at];
        const double weight = weights ? weights[i] : 1.0;
        const float* values = static_cast<const float*>(x.row(i));
        if (x.type != RowType::f32) {
          load_rows(x, i, i + 1, row.data(), x.d);
          values = row.data();
        }
        kern.add_f64(sums + c * x.d, values, weight, x.d);
        counts[c] += weight;
      }
    }
  });
}

}  // namespace cluscomp
