// Which rows some queries visit, in an order that reads them from memory once for all queries that probe them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cluscomp/scan.h"

namespace cluscomp {

struct Visit {
  bool later;                // not the first probe of its query
  int64_t list, begin, end;  // rows
  int32_t query, probe;

  bool same_rows(const Visit& other) const { return later == other.later && begin == other.begin; }
};

// The lists of the queries [first, last), in pieces of at most `piece_rows` rows. The first probe of every query goes
// before all others: its threshold lets most rows of the other lists be passed over. One query keeps the order of its
// probes.
inline std::vector<Visit> visits_of(const InvertedLists& lists, const ScanCall& call, int64_t first, int64_t last,
                                    int64_t piece_rows) {
  std::vector<Visit> visits;
  for (int64_t q = first; q < last; ++q)
    for (int64_t p = 0; p < call.n_probes; ++p) {
      const int64_t list = call.probes[q * call.n_probes + p];
      if (list < 0) continue;
      const int64_t end = lists.offsets[list + 1];
      for (int64_t row = lists.offsets[list]; row < end; row += piece_rows)
        visits.push_back({p > 0, list, row, std::min(row + piece_rows, end), static_cast<int32_t>(q - first),
                          static_cast<int32_t>(p)});
    }
  if (last - first > 1)
    std::stable_sort(visits.begin(), visits.end(),
                     [](const Visit& a, const Visit& b) { return a.later != b.later ? b.later : a.begin < b.begin; });
  return visits;
}

}  // namespace cluscomp
