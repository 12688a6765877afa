// Search: score every row of the probed lists with a scorer and keep the best k.
#pragma once

#include <cstdint>

#include "cluscomp/assign.h"
#include "cluscomp/parts.h"
#include "cluscomp/skip_bits.h"

namespace cluscomp {

// What one call of a scan asks for.
struct ScanCall {
  const float* queries = nullptr;  // (nq, d)
  int64_t nq = 0;
  const int32_t* probes = nullptr;  // (nq, n_probes) list numbers, best first; negative = none
  int64_t n_probes = 0;
  const float* bases = nullptr;  // (nq, n_probes) known inner products <query, centroid> of the probed lists, or null
  int64_t k = 1;
  Metric metric = Metric::ip;
  const SkipBits* skip = nullptr;  // of each part, by position there; or null
  bool rough = false;              // scores only choose the candidates of a rerank: codes may round them
  float bars = 0;                  // so many error bars are added to every score, where codes have them

  bool skips(const Parts::Part& part, int64_t position) const { return skip && skip[part.number][position]; }
};

// Where the hits of all queries go, best first: both (nq, k); missing ones are (-infinity, -1).
struct HitArrays {
  float* scores;
  int64_t* positions;
};

// Scans rows by their scorer. Any cut into parts gives the same hits: a score is a function of row and query alone, and
// the order of hits is total.
void scan_lists(const Parts& parts, const ScanCall& call, const HitArrays& out);

// Which rows a rerank reads: bounds (nq, c), descending, above which no score of a candidate lies by more than slack
// (nq). counts (nq): rows that were read.
struct UpperBounds {
  const float *bounds, *slack;
  int64_t* counts;
};

// The best k of given rows, from the first on, until no bound that is left reaches the k-th score.
void rescore_by_bound(const Parts& parts, const ScanCall& call, const int64_t* candidates, int64_t c,
                      const UpperBounds& upper, const HitArrays& out);

// The best k of given rows: candidates (nq, c) positions, of which negative ones are none; the rows of all parts stand
// by position. Probes, bases and skip of the call are not read.
void rescore(const Parts& parts, const ScanCall& call, const int64_t* candidates, int64_t c, const HitArrays& out);

}  // namespace cluscomp
