// The filter for short rows: 16 rows at a time, one row a lane, so that nothing is summed or searched across lanes.
// Rows and centroids are rounded to 16 bits; one instruction multiplies two dimensions of 16 rows by a centroid. The
// centroid's number travels in the low byte of the score, which the products leave free, so that one maximum finds
// score and label.
//
// With X = round(p x'), C = round(q c') and s = <x', c'> + b(c) (assign.h), Cauchy-Schwarz bounds the rounding:
//     |p q s - <X, C> - round(p q b)| <= |X| |q c' - C| + |p x' - X| |q c'| + 1/2
// p is chosen for a block of rows, so that all sums fit 31 bits. A row whose two best scores differ by more than
// twice that bound is settled.
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/kernels.h"

namespace cluscomp {

constexpr int64_t kColumnRows = 256;   // rows that share a scale
constexpr int64_t kColumnChunk = 256;  // centroids that 8 bits can number
constexpr int64_t kColumnUnit = 4;     // centroids of a chunk are padded to a multiple of this

struct ColumnPanels {
  std::vector<int32_t> values;                                  // [k][pairs]: two dimensions, 16 bits each, of C
  std::vector<float> bias;                                      // [k]: b(c) - middle; -infinity for padding
  float scale = 1;                                              // q
  float largest_norm = 0, largest_error = 0, largest_bias = 0;  // |c'|, |q c' - C|, |b(c) - middle|
};

ColumnPanels pack_columns(const Kernels& kern, const float* points, int64_t k, int64_t d, int64_t ld, const float* mean,
                          const double* bias);

// Buffers of one block.
struct ColumnScratch {
  std::vector<float> raw, columns;
  std::vector<int32_t> integers, start;
  float sum_sq[kColumnRows];
  int32_t best[kColumnRows], second[kColumnRows], chunk_best[kColumnRows], chunk_second[kColumnRows];
};

enum class ColumnOutcome { done, out_of_range };

// labels of `rows` <= kColumnRows rows x (row stride ldx, readable up to the next multiple of 16 rows and 4 columns);
// open gets the positions of the rows that are not settled, and open_count their number. Rows whose squares leave the
// range of float32 (or are no numbers) are out of range: nothing is written.
ColumnOutcome assign_columns(const Kernels& kern, const ColumnPanels& panels, const float* x, int64_t ldx, int64_t rows,
                             int64_t k, int64_t d, const float* mean, int32_t* labels, int32_t* open,
                             int64_t* open_count, ColumnScratch& scratch);

}  // namespace cluscomp
