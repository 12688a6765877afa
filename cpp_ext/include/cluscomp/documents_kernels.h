// Kernels of the search among documents of several vectors, part of the table `Kernels`.
#pragma once

#include <cstdint>

namespace cluscomp {

constexpr int kTableLanes = 32;  // query vectors in one table of list scores: one load of AVX2

struct DocumentKernels {
  // sums[i] += sum over 32 lanes of the largest byte that table [lists][32] has in this lane for any vector of document i.
  // Document i has the vectors offsets[i] to offsets[i + 1], whose lists are uint16 or int32 numbers.
  void (*list_maxima_u16)(const uint8_t* table, const uint16_t* lists, const int64_t* offsets, int64_t n, uint32_t* sums);
  void (*list_maxima_i32)(const uint8_t* table, const int32_t* lists, const int64_t* offsets, int64_t n, uint32_t* sums);
};

}  // namespace cluscomp
