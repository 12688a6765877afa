// Where the best of many bounds begin, without ordering all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "cluscomp/pack.h"

namespace cluscomp {

// A value that at least `length` of the n bounds reach, and not many more: of many groups, the length-th best leader.
// length <= n. leaders: memory that the caller keeps from call to call.
inline float reach_of_best(const float* bounds, int64_t n, int64_t length, std::vector<float>& leaders) {
  const int64_t groups = round_up(4 * length, 16);
  if (n < 2 * groups) {
    leaders.assign(bounds, bounds + n);
  } else {
    leaders.assign(bounds, bounds + groups);
    for (int64_t first = groups; first < n; first += groups) {
      const int64_t here = std::min(groups, n - first);
      for (int64_t g = 0; g < here; ++g) leaders[g] = std::max(leaders[g], bounds[first + g]);
    }
  }
  std::nth_element(leaders.begin(), leaders.begin() + (length - 1), leaders.end(), std::greater<float>());
  return leaders[length - 1];
}

}  // namespace cluscomp
