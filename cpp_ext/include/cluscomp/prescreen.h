// Exact top-k over float rows with an 8-bit prescreen: the prescreen bounds every row's score from above, and only rows
// whose bound reaches the k-th best score so far are read and scored. Results equal a scan of all rows, bit for bit, at
// about a quarter of its memory traffic.
//
// The layout is the same on every instruction set, so that a prescreen can be stored: values [panels][d4][16][4] bytes
// in 1..127 (64 is zero), terms [panels][4][16] floats (see IntFilter), panels of 16 rows.
#pragma once

#include <atomic>

#include "cluscomp/float_codes.h"

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

// Float rows of one list with their prescreen, which must have been built for the metric of the call.
class PrescreenedCodes : public FloatCodes {
 public:
  PrescreenedCodes(const RowsView& rows, const PrescreenView& prescreen) : FloatCodes(rows), prescreen_(prescreen) {}
  const PrescreenedCodes* prescreened() const override { return this; }
  const PrescreenView& prescreen() const { return prescreen_; }
  // Rows scored so far, over all queries: what the prescreen could not rule out.
  int64_t rows_scored() const { return scored_.load(); }
  void count(int64_t scored) const { scored_.fetch_add(scored, std::memory_order_relaxed); }

 private:
  const PrescreenView prescreen_;
  mutable std::atomic<int64_t> scored_{0};
};

// All rows of parts of float rows in their order; probes and positions are not read. Each part has a prescreen of its
// own; of those without one, all rows are scored.
void scan_prescreened(const Parts& parts, const ScanCall& call, const HitArrays& out);

}  // namespace cluscomp
