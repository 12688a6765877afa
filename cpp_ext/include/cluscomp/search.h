// A whole search of stored rows: lists are chosen, their codes scanned, and the best scored again by finer codes.
#pragma once

#include "cluscomp/list_chooser.h"
#include "cluscomp/scan.h"

namespace cluscomp {

// What stays the same from search to search.
struct Searched {
  const Parts* rows = nullptr;
  const Parts* finer = nullptr;  // by position, as many as rows; null: no rerank
  Metric metric = Metric::ip;
  const SkipBits* skip = nullptr;  // as in ScanCall
};

struct SearchCall {
  const float* queries = nullptr;    // (nq, dim of finer) as the finer codes compare them
  const float* projected = nullptr;  // (nq, dim of rows) as lists and codes compare them
  int64_t nq = 0, k = 1;
  int64_t candidates = 1;                // of a rerank
  const ListChooser* chooser = nullptr;  // null: all rows are one list
  int64_t n_lists = 1;                   // that each query visits
};

// The hits of a scan of those lists, or of a rerank of its best. lists (nq, n_lists): which they were.
void search(const Searched& searched, const SearchCall& call, int32_t* lists, const HitArrays& out);

}  // namespace cluscomp
