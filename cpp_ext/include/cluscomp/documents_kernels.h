// Kernels of the search among documents of several vectors, part of the table `Kernels`.
#pragma once

#include <cstdint>

namespace cluscomp {

constexpr int kTableLanes = 32;  // query vectors in one table of list scores: one load of AVX2

struct DocumentKernels {
  // sums[i] += sum over 32 lanes of the largest byte that table [lists][32] has in this lane for any vector of document
  // i. Document i has the vectors offsets[i] to offsets[i + 1], whose lists are uint16 or int32 numbers.
  void (*list_maxima_u16)(const uint8_t* table, const uint16_t* lists, const int64_t* offsets, int64_t n,
                          uint32_t* sums);
  void (*list_maxima_i32)(const uint8_t* table, const int32_t* lists, const int64_t* offsets, int64_t n,
                          uint32_t* sums);

  // out[i][lane] = floor(products[i][lane] * inverse[lane] + 0.5), n rows of 16 lanes; results are within 16 bits.
  void (*round_entries)(const float* products, int64_t n, const float* inverse, int16_t* out);
  // sums[i][lane] = sum over m codes of table [m][256][16] at the codes of row i of (n, m); sums are within 16 bits.
  void (*add_entries)(const int16_t* table, const uint8_t* codes, int64_t m, int64_t n, int16_t* sums);
  // best[lane] = max(best, (start + sum * step + slack) * scale) in 16 lanes.
  void (*raise_bounds)(const float* start, const int16_t* sums, const float* steps, const float* slack, float scale,
                       float* best);
};

}  // namespace cluscomp
