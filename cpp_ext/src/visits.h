// Which rows some queries visit, in an order that reads them from memory once for all queries that probe them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cluscomp/scan.h"

namespace cluscomp {

// A list that one query probes, in all parts.
struct Visit {
  bool later;  // not the first probe of its query
  int64_t list;
  int32_t query, probe;

  bool same_rows(const Visit& other) const { return later == other.later && list == other.list; }
};

// Rows of one list that stand behind each other in one part.
struct Range {
  const Parts::Part* part;
  int64_t list, begin, end;
};

// The lists of the queries [first, last). The first probe of every query goes before all others: its threshold lets
// most rows of the other lists be passed over. One query keeps the order of its probes.
inline std::vector<Visit> visits_of(const ScanCall& call, int64_t first, int64_t last) {
  std::vector<Visit> visits;
  for (int64_t q = first; q < last; ++q)
    for (int64_t p = 0; p < call.n_probes; ++p) {
      const int64_t list = call.probes[q * call.n_probes + p];
      if (list >= 0) visits.push_back({p > 0, list, static_cast<int32_t>(q - first), static_cast<int32_t>(p)});
    }
  if (last - first > 1)
    std::stable_sort(visits.begin(), visits.end(),
                     [](const Visit& a, const Visit& b) { return a.later != b.later ? b.later : a.list < b.list; });
  return visits;
}

// Where the visits at the rows of visit `first` end.
inline size_t end_of_visits(const std::vector<Visit>& visits, size_t first) {
  size_t last = first;
  while (last < visits.size() && visits[last].same_rows(visits[first])) ++last;
  return last;
}

// each(range) for the rows of a list, part by part, in pieces of at most `piece_rows` rows.
template <class Each>
void each_range(const Parts& parts, int64_t list, int64_t piece_rows, Each each) {
  for (int64_t i = 0; i < parts.count(); ++i) {
    const Parts::Part& part = parts[i];
    const int64_t end = part.lists.offsets[list + 1];
    for (int64_t row = part.lists.offsets[list]; row < end; row += piece_rows)
      each(Range{&part, list, row, std::min(row + piece_rows, end)});
  }
}

}  // namespace cluscomp
