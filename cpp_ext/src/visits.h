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

// Puts the first probes of all queries before the others, and both in the order of their lists; equal ones stay in
// their order. By counting, which takes one step a visit and list; where most lists have no visit, by comparing.
inline void order_visits(std::vector<Visit>& visits) {
  int64_t lists = 0;
  for (const Visit& visit : visits) lists = std::max(lists, visit.list + 1);
  if (2 * lists > static_cast<int64_t>(visits.size())) {
    std::stable_sort(visits.begin(), visits.end(),
                     [](const Visit& a, const Visit& b) { return a.later != b.later ? b.later : a.list < b.list; });
    return;
  }
  const auto key = [lists](const Visit& visit) { return visit.list + (visit.later ? lists : 0); };
  std::vector<int64_t> next(static_cast<size_t>(2 * lists + 1), 0);  // place of the next visit of each key
  for (const Visit& visit : visits) ++next[key(visit) + 1];
  for (size_t i = 1; i < next.size(); ++i) next[i] += next[i - 1];
  std::vector<Visit> ordered(visits.size());
  for (const Visit& visit : visits) ordered[next[key(visit)]++] = visit;
  visits.swap(ordered);
}

// The lists of the queries [first, last). The first probe of every query goes before all others: its threshold lets
// most rows of the other lists be passed over. One query keeps the order of its probes.
inline std::vector<Visit> visits_of(const ScanCall& call, int64_t first, int64_t last) {
  std::vector<Visit> visits;
  for (int64_t q = first; q < last; ++q)
    for (int64_t p = 0; p < call.n_probes; ++p) {
      const int64_t list = call.probes[q * call.n_probes + p];
      if (list >= 0) visits.push_back({p > 0, list, static_cast<int32_t>(q - first), static_cast<int32_t>(p)});
    }
  if (last - first > 1) order_visits(visits);
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
