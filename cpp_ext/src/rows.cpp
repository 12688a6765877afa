#include "cluscomp/rows.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

void load_bf16(const uint16_t* x, float* out, int64_t d) {
  for (int64_t i = 0; i < d; ++i) {
    const uint32_t bits = static_cast<uint32_t>(x[i]) << 16;
    std::memcpy(out + i, &bits, 4);
  }
}

// Magnitudes order as their bits without the sign do, NaN and infinity above all numbers. What exceeds `largest`
// carries into the sign after an addition of `room`. Sums in lanes, so that any compiler makes vector code of them.
template <class Word>
bool row_is_within(const Word* x, int64_t d, Word largest) {
  constexpr int64_t kTogether = 64 / sizeof(Word);
  constexpr Word kMagnitude = static_cast<Word>(~Word{0}) >> 1;
  const auto room = static_cast<Word>(kMagnitude - largest);
  Word carries[kTogether] = {};
  int64_t i = 0;
  for (; i + kTogether <= d; i += kTogether)
    for (int64_t l = 0; l < kTogether; ++l)
      carries[l] = static_cast<Word>(carries[l] | static_cast<Word>((x[i + l] & kMagnitude) + room));
  for (; i < d; ++i) carries[0] = static_cast<Word>(carries[0] | static_cast<Word>((x[i] & kMagnitude) + room));
  Word all = 0;
  for (const Word carry : carries) all = static_cast<Word>(all | carry);
  return all <= kMagnitude;
}

// Bits of the largest magnitude allowed in each type: finite, and at most `largest`.
struct LargestBits {
  uint32_t f32;
  uint16_t f16, bf16;
  explicit LargestBits(float largest) : f32(0), f16(0x7bff), bf16(0) {
    largest = std::min(largest, std::numeric_limits<float>::max());
    std::memcpy(&f32, &largest, 4);
    bf16 = static_cast<uint16_t>(f32 >> 16);
  }
};

bool row_is_within(const RowsView& x, int64_t i, const LargestBits& largest) {
  switch (x.type) {
    case RowType::f32: return row_is_within(static_cast<const uint32_t*>(x.row(i)), x.d, largest.f32);
    case RowType::f16: return row_is_within(static_cast<const uint16_t*>(x.row(i)), x.d, largest.f16);
    default: return row_is_within(static_cast<const uint16_t*>(x.row(i)), x.d, largest.bf16);
  }
}

}  // namespace

void load_rows(const RowsView& x, int64_t begin, int64_t end, float* out, int64_t ld) {
  const Kernels& kern = kernels();
  for (int64_t i = begin; i < end; ++i, out += ld) {
    switch (x.type) {
      case RowType::f32: std::memcpy(out, x.row(i), static_cast<size_t>(x.d) * 4); break;
      case RowType::f16: kern.load_f16(static_cast<const uint16_t*>(x.row(i)), out, x.d); break;
      default: load_bf16(static_cast<const uint16_t*>(x.row(i)), out, x.d);
    }
  }
}

int64_t first_row_beyond(const RowsView& x, float largest) {
  const LargestBits bits(largest);
  std::atomic<int64_t> first{x.n};
  parallel_for(x.n, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (row_is_within(x, i, bits)) continue;
      int64_t seen = first.load();
      while (i < seen && !first.compare_exchange_weak(seen, i)) {}
      return;
    }
  });
  return first.load() == x.n ? -1 : first.load();
}

}  // namespace cluscomp
