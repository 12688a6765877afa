// Interleaved 4-bit codes as one scan reads them.
#pragma once

#include "cluscomp/pq.h"

namespace cluscomp {

struct FourBitCodes {
  const PqCodebook& book;
  Metric metric;
  bool residual;  // to the centroid of the list
  bool rough;     // scores are values of sums of 7-bit table entries

  int64_t bytes() const { return book.code_size(); }
  // With residual codes <q, c + r> = <q, c> + <q, r>: one table serves all lists. |q - c - r|^2 needs one a list.
  bool table_per_list() const { return residual && metric == Metric::l2; }
  float sign() const { return metric == Metric::ip ? 1.0f : -1.0f; }
};

}  // namespace cluscomp
