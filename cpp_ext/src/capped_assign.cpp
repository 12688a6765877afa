#include "cluscomp/capped_assign.h"

#include <algorithm>

namespace cluscomp {

int64_t place_in_order(const int32_t* preferences, int64_t n, int64_t length, int64_t first, int64_t announced,
                       int64_t milli, int64_t k, int64_t* sizes, int32_t* labels) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t quota = list_quota(milli, std::max(first + i + 1, announced), k);
    const int32_t* mine = preferences + i * length;
    const int32_t* end = mine + length;
    const int32_t* list = std::find_if(mine, end, [&](int32_t j) { return sizes[j] < quota; });
    if (list == end) return i;
    labels[i] = *list;
    sizes[*list] += 1;
  }
  return n;
}

}  // namespace cluscomp
