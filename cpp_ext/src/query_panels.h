// Query vectors laid out for MaxSim: panels of 16, lanes are vectors.
#pragma once

#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/rows.h"

namespace cluscomp {

struct QueryPanels {
  std::vector<float> values;  // [panels][d][16]; the vectors of all queries follow each other, padded with zeros
  std::vector<float> zeros;   // a bias for every lane
  int64_t count = 0;

  int64_t lanes() const { return count * kLanes; }
  // Length of the longest vector; infinity or NaN where one holds such a value.
  double largest_norm() const;
};

QueryPanels pack_queries(const RowsView& queries);

// best [lanes]: largest inner product of each query vector with any of the n rows (n, d); -infinity where n is 0.
void largest_products(const Kernels& kern, const QueryPanels& panels, const float* rows, int64_t n, int64_t d,
                      float* best);

}  // namespace cluscomp
