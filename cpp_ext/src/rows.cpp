#include "cluscomp/rows.h"

#include <atomic>
#include <cstring>

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

// A number is not finite when its exponent bits are all ones: then one more unit of them carries into the sign. Sums in
// lanes, so that any compiler makes vector code of them.
template <class Word>
bool row_is_finite(const Word* x, int64_t d, Word exponent) {
  constexpr int64_t kTogether = 64 / sizeof(Word);
  const auto unit = static_cast<Word>(exponent & (~exponent + 1));
  Word carries[kTogether] = {};
  int64_t i = 0;
  for (; i + kTogether <= d; i += kTogether)
    for (int64_t l = 0; l < kTogether; ++l)
      carries[l] = static_cast<Word>(carries[l] | static_cast<Word>((x[i + l] & exponent) + unit));
  for (; i < d; ++i) carries[0] = static_cast<Word>(carries[0] | static_cast<Word>((x[i] & exponent) + unit));
  Word all = 0;
  for (const Word carry : carries) all = static_cast<Word>(all | carry);
  return all < static_cast<Word>(exponent + unit);
}

bool row_is_finite(const RowsView& x, int64_t i) {
  switch (x.type) {
    case RowType::f32: return row_is_finite(static_cast<const uint32_t*>(x.row(i)), x.d, uint32_t{0x7f800000});
    case RowType::f16: return row_is_finite(static_cast<const uint16_t*>(x.row(i)), x.d, uint16_t{0x7c00});
    default: return row_is_finite(static_cast<const uint16_t*>(x.row(i)), x.d, uint16_t{0x7f80});
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

int64_t first_nonfinite_row(const RowsView& x) {
  std::atomic<int64_t> first{x.n};
  parallel_for(x.n, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (row_is_finite(x, i)) continue;
      int64_t seen = first.load();
      while (i < seen && !first.compare_exchange_weak(seen, i)) {}
      return;
    }
  });
  return first.load() == x.n ? -1 : first.load();
}

}  // namespace cluscomp
