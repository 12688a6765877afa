// Which lists queries visit where only some rows may be found: the walk over lists by a budget of passing rows.
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/assign.h"

namespace cluscomp {

// What all queries of one walk share.
struct WalkRule {
  int64_t nlist;
  const int64_t* live;     // (nlist) rows of each list that are not deleted
  const int64_t* passing;  // (nlist) of these, the rows that pass
  int64_t nprobe;          // lists that a search without a condition visits
  int64_t most;            // lists that a query may see, at least nprobe
};

// What one query visits. lists: with passing rows, the first that is seen
// first, the others ascending. rows: that pass in them.
// direct: all rows that pass, since they are no more than the budget.
struct Walk {
  std::vector<int32_t> lists;
  int64_t rows = 0;
  bool direct = false;
};

// The order of lists is by score, larger first, then by number; a list `first`, unless negative, goes before all.
// The budget is the number of live rows of the first nprobe lists. Where no more rows pass, all are visited. Else lists
// are seen in order until nprobe were and the rows that pass in them are as many as the budget, or `most` were.
Walk walk_lists(const WalkRule& rule, const float* scores, int32_t first);

// Scores (nq, n) of queries (nq, d) with rows (n, d), as scans of float rows give them.
void score_pairs(const float* queries, int64_t nq, const float* rows, int64_t n, int64_t d, Metric metric, float* out);

}  // namespace cluscomp
