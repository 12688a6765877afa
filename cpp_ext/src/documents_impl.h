// Kernels of documents_kernels.h over 32 bytes as the compiler's vector type: integers, so that no width changes a result.
#pragma once

#include <cstring>

#include "cluscomp/documents_kernels.h"

namespace cluscomp {
namespace {

struct DocumentsImpl {
  typedef uint8_t Lanes __attribute__((vector_size(kTableLanes)));

  template <class List>
  static void list_maxima(const uint8_t* table, const List* lists, const int64_t* offsets, int64_t n, uint32_t* sums) {
    for (int64_t i = 0; i < n; ++i) {
      Lanes best = {};
      for (int64_t v = offsets[i]; v < offsets[i + 1]; ++v) {
        Lanes entry;
        std::memcpy(&entry, table + static_cast<int64_t>(lists[v]) * kTableLanes, sizeof entry);
        best = entry > best ? entry : best;
      }
      uint32_t sum = 0;
      for (int l = 0; l < kTableLanes; ++l) sum += best[l];
      sums[i] += sum;
    }
  }
  static constexpr DocumentKernels table() { return {list_maxima<uint16_t>, list_maxima<int32_t>}; }
};

}  // namespace
}  // namespace cluscomp
