#include "cluscomp/term_order.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace cluscomp {

void order_terms(const int64_t* offsets, int64_t n, int64_t* lists, float* weights, int64_t* new_offsets) {
  std::vector<std::pair<int64_t, float>> terms;
  int64_t kept = 0;
  new_offsets[0] = 0;
  for (int64_t i = 0; i < n; ++i) {
    terms.clear();
    for (int64_t t = offsets[i]; t < offsets[i + 1]; ++t)
      if (lists[t] >= 0) terms.emplace_back(lists[t], weights[t]);
    std::sort(terms.begin(), terms.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [list, weight] : terms) {
      lists[kept] = list;
      weights[kept++] = weight;
    }
    new_offsets[i + 1] = kept;
  }
}

}  // namespace cluscomp
