// Kernels of documents_kernels.h over 32 bytes as the compiler's vector type: integers, so that no width changes a
// result.
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

  static void round_entries(const float* products, int64_t n, const float* inverse, int16_t* out) {
    Floats scale;
    std::memcpy(&scale, inverse, sizeof scale);
    for (int64_t i = 0; i < n; ++i, products += 16, out += 16) {
      Floats x;
      std::memcpy(&x, products, sizeof x);
      // Above zero, conversion rounds down.
      const auto whole = __builtin_convertvector(x * scale + 32768.5f, Ints) - 32768;
      const auto entry = __builtin_convertvector(whole, Shorts);
      std::memcpy(out, &entry, sizeof entry);
    }
  }

  static void add_entries(const int16_t* table, const uint8_t* codes, int64_t m, int64_t n, int16_t* sums) {
    for (int64_t s = 0; s < m; s += kTogether) {
      const int64_t count = m - s < kTogether ? m - s : kTogether;
      const int16_t* own = table + s * 256 * 16;
      for (int64_t i = 0; i < n; ++i) {
        Shorts sum = {};
        if (s) std::memcpy(&sum, sums + i * 16, sizeof sum);
        const uint8_t* code = codes + i * m + s;
        if (count == kTogether) {
          for (int64_t j = 0; j < kTogether; ++j) add_entry(own, j, code[j], sum);
        } else {
          for (int64_t j = 0; j < count; ++j) add_entry(own, j, code[j], sum);
        }
        std::memcpy(sums + i * 16, &sum, sizeof sum);
      }
    }
  }

  static void raise_bounds(const float* start, const int16_t* sums, const float* steps, const float* slack, float scale,
                           float* best) {
    for (int l = 0; l < 16; l += 8) {  // eight at a time: compilers choose among wider vectors element by element
      Half first, step, more, largest;
      HalfShorts sum;
      std::memcpy(&first, start + l, sizeof first);
      std::memcpy(&step, steps + l, sizeof step);
      std::memcpy(&more, slack + l, sizeof more);
      std::memcpy(&largest, best + l, sizeof largest);
      std::memcpy(&sum, sums + l, sizeof sum);
      const Half bound = (first + __builtin_convertvector(sum, Half) * step + more) * scale;
      largest = bound > largest ? bound : largest;
      std::memcpy(best + l, &largest, sizeof largest);
    }
  }

  static constexpr DocumentKernels table() {
    return {
        .list_maxima_u16 = list_maxima<uint16_t>,
        .list_maxima_i32 = list_maxima<int32_t>,
        .round_entries = round_entries,
        .add_entries = add_entries,
        .raise_bounds = raise_bounds,
    };
  }

 private:
  typedef float Floats __attribute__((vector_size(64)));
  typedef int32_t Ints __attribute__((vector_size(64)));
  typedef int16_t Shorts __attribute__((vector_size(32)));
  typedef float Half __attribute__((vector_size(32)));
  typedef int16_t HalfShorts __attribute__((vector_size(16)));
  static constexpr int64_t kTogether = 8;  // tables of 8 KB that rows visit before the next ones

  static inline __attribute__((always_inline)) void add_entry(const int16_t* tables, int64_t j, uint8_t code,
                                                              Shorts& sum) {
    Shorts entry;
    std::memcpy(&entry, tables + (j * 256 + code) * 16, sizeof entry);
    sum += entry;
  }
};

}  // namespace
}  // namespace cluscomp
