// Exact top-k over float rows with an 8-bit prescreen: the prescreen bounds every row's score from above, and only rows
// whose bound reaches the k-th best score so far are read and scored. Results equal a scan of all rows, bit for bit, at
// about a quarter of its memory traffic.
//
// The layout is the same on every instruction set, so that a prescreen can be stored: values [panels][d4][16][4] bytes
// in 1..127 (64 is zero), terms [panels][4][16] floats (see IntFilter), panels of 16 rows.
#pragma once

#include "cluscomp/assign.h"
#include "cluscomp/scan.h"

namespace cluscomp {

struct PrescreenView {
  const uint8_t* values;
  const float* terms;
  const float* mean;   // (d) subtracted from rows and queries before quantising
  float largest_norm;  // no row is longer; covers the rounding of float32 scores
};

// Bytes and floats that the prescreen of n rows takes.
int64_t prescreen_value_bytes(int64_t n, int64_t d);
int64_t prescreen_term_count(int64_t n);

// Fills values and terms for all rows; returns the largest norm of a row.
float build_prescreen(const RowsView& rows, const float* mean, Metric metric, uint8_t* values, float* terms);

// scores (nq, k) and positions (nq, k) = row numbers, as search_lists over one list gives them. skip: (n) or null.
// Returns how many rows were scored, over all queries.
int64_t search_prescreen(const RowsView& rows, const PrescreenView& prescreen, const float* queries, int64_t nq,
                         Metric metric, int64_t k, const uint8_t* skip, float* scores, int64_t* positions);

}  // namespace cluscomp
