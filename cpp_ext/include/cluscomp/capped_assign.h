// Rows that come into lists with a limit, in their order: each takes the first list of its preference that has room.
#pragma once

#include <cstdint>

namespace cluscomp {

// The most rows that each of k lists may hold when all hold `rows` together: ceil(milli * rows / (1000 * k)).
inline int64_t list_quota(int64_t milli, int64_t rows, int64_t k) {
  const int64_t parts = 1000 * k;
  return (milli * rows + parts - 1) / parts;
}

// preferences: (n, length) lists of each row, best first. sizes: (k) rows of each list so far, counted on. Row i sees
// the quota of max(first + i + 1, announced) rows, first being the rows stored before it. labels: (n). Returns the
// number of rows placed before the first that finds no room in its preferences.
int64_t place_in_order(const int32_t* preferences, int64_t n, int64_t length, int64_t first, int64_t announced,
                       int64_t milli, int64_t k, int64_t* sizes, int32_t* labels);

}  // namespace cluscomp
