// What the CUDA module can do. cuda/*.cu implements it; cuda/no_cuda.cpp has the same symbols and throws by name.
// Pointers are device pointers, matrices row-major; `stream` is a cudaStream_t (torch's current stream). Nothing waits
// for the device and nothing is allocated: callers bring the memory.
#pragma once

#include <cstdint>
#include <string>

#include "cluscomp/rows.h"
#include "plan.h"

namespace cluscomp::cuda {

// Empty when a device can be used, else the reason why not.
std::string unavailable_reason();

// Fills `prepared` (prepared_bytes(shape)) from centroids (groups, k, d) and their means (groups, d). Any means give
// right results; the mean of each group's centroids gives the fewest pairs to decide. shape.n plays no part.
void prepare(const float* centroids, const float* mean, const Shape& shape, bool l2, void* prepared, void* stream);

// labels and scores (n, groups): in each group the nearest centroid of every row of x (n, groups * d), as the CPU's
// Assigner gives them bit for bit: l2: smallest squared distance, otherwise largest inner product, ties to the lowest
// index. scores may be null. scratch: scratch_bytes(shape).
void assign(const void* x, RowType type, const float* centroids, const float* mean, const Shape& shape, bool l2,
            const void* prepared, void* scratch, int32_t* labels, float* scores, void* stream);

// codes (n, ceil(groups * nbits / 8)): labels (n, groups) as a little-endian bit string (include/cluscomp/pq.h).
void pack_codes(const int32_t* labels, int64_t n, int64_t groups, int nbits, uint8_t* codes, void* stream);

// Adds rows to sums (k, d): those of centroid c are rows order[start[c]] ... order[start[c + 1] - 1], added in this
// order in float64, times weights (n) unless null, each product rounded by rounders (d): the bits are those of the
// CPU's accumulate() with the same rounders.
void sum_rows(const void* x, RowType type, int64_t d, const int64_t* order, const int64_t* start, int64_t k,
              const double* weights, const double* rounders, double* sums, void* stream);

// The sums of Sinkhorn's two steps in the log domain, for costs (n, k):
//   row_logs     logs[i] = log2 sum_j 2^(shift[j] - scale * cost[i, j])
//   column_logs  logs[j] = log2 sum_i 2^(shift[i] - scale * cost[i, j])
// in float64 and a fixed order. A shift of -infinity takes no part. scratch: column_scratch_bytes(n, k).
void row_logs(const float* cost, int64_t n, int64_t k, const double* shift, double scale, double* logs, void* stream);
void column_logs(const float* cost, int64_t n, int64_t k, const double* shift, double scale, void* scratch,
                 double* logs, void* stream);

}  // namespace cluscomp::cuda
