// A cheap lower bound of the length-th largest of many values, used as the first threshold of a selection.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "cluscomp/pack.h"

namespace cluscomp {

// A value that at least `length` of the n bounds reach, and not many more: the length-th largest of the maxima of
// groups. NaN bounds nothing, so it counts as infinity, as it does for Kernels::select. 1 <= length <= n. leaders:
// memory that the caller keeps from call to call.
inline float reach_of_best(const float* bounds, int64_t n, int64_t length, std::vector<float>& leaders) {
  const auto ordered = [](float bound) { return bound == bound ? bound : std::numeric_limits<float>::infinity(); };
  const int64_t groups = round_up(4 * length, 16), first_group = n < 2 * groups ? n : groups;
  leaders.resize(static_cast<size_t>(first_group));
  std::transform(bounds, bounds + first_group, leaders.begin(), ordered);
  for (int64_t first = first_group; first < n; first += groups) {
    const int64_t here = std::min(groups, n - first);
    for (int64_t g = 0; g < here; ++g) leaders[g] = std::max(leaders[g], ordered(bounds[first + g]));
  }
  std::nth_element(leaders.begin(), leaders.begin() + (length - 1), leaders.end(), std::greater<float>());
  return leaders[length - 1];
}

}  // namespace cluscomp
