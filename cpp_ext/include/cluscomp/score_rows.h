// Scores of rows that somebody chose, as scans give them.
#pragma once

#include "cluscomp/codes.h"

namespace cluscomp {

// Which rows are scored for each query: (sets, c) row numbers, of which negative ones are none. One set serves all
// queries; else there is one for each. Ascending rows are scored sooner.
struct ChosenRows {
  const int64_t* rows = nullptr;
  int64_t sets = 1, c = 0;

  const int64_t* of(int64_t query) const { return rows + (sets == 1 ? 0 : query) * c; }
};

// scores (nq, c): of every chosen row, in their order, what a scan of its list gives it; -infinity where there is no
// row, and for a score that is no number. Queries, nq and metric of the call are read, nothing else.
void score_rows(const Codes& codes, const InvertedLists& lists, const ScanCall& call, const ChosenRows& chosen,
                float* scores);

}  // namespace cluscomp
