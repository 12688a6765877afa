#include "four_bit_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cluscomp {

void FourBitTables::fill(const FourBitCodes& codes, const float* query, std::vector<float>& floats) {
  const int64_t m = codes.book.m(), bytes = codes.bytes();
  floats.resize(static_cast<size_t>(bytes * 32));
  std::fill(floats.begin() + m * 16, floats.end(), 0.0f);  // beyond the last code
  bytes_.resize(static_cast<size_t>(bytes * 32));
  codes.book.tables(query, codes.metric, floats.data());
  scale_ = kernels().byte_tables(floats.data(), m, codes.sign(), bytes_.data());
  // float32 sums of m entries are off by at most this much
  slack_ = scale_.magnitude * static_cast<double>(m + 2) * 0x1p-24;
  usable_ = std::isfinite(scale_.step) && std::isfinite(scale_.magnitude) && bytes <= kMaxFourBitBytes;
  if (!usable_) std::fill(bytes_.begin(), bytes_.end(), uint8_t{0});
  rough_ = codes.rough && usable_;
  if (!rough_) floats_ = floats;
}

int64_t FourBitTables::needed(float threshold, float base, float lowest) const {
  if (!usable_ || threshold == -std::numeric_limits<float>::infinity()) return 0;
  const double value = static_cast<double>(threshold) - static_cast<double>(base);
  const double largest = std::max(std::fabs(static_cast<double>(base)), std::fabs(static_cast<double>(lowest)));
  const double farthest = std::max(std::fabs(value), std::fabs(static_cast<double>(threshold) - lowest));
  const double rounding = slack_ + 0x1p-21 * (farthest + largest + std::fabs(scale_.low));
  const double sum = (value - scale_.low - rounding) / static_cast<double>(scale_.step);
  return sum > 65535 ? 65536 : static_cast<int64_t>(std::max(0.0, std::ceil(sum)));
}

void FourBitTables::exact_scores(const FourBitCodes& codes, const uint8_t* const* at, const int64_t* stride,
                                 const float* base, float* out) const {
  float sum[kTogether];
  std::copy_n(base, kTogether, sum);
  const float* table = floats_.data();
  for (int64_t j = 0; j < codes.bytes(); ++j, table += 32)
    for (int i = 0; i < kTogether; ++i) {
      const uint8_t value = at[i][j * stride[i]];
      sum[i] += table[value & 15] + table[16 + (value >> 4)];
    }
  for (int i = 0; i < kTogether; ++i) out[i] = codes.metric == Metric::ip ? sum[i] : -sum[i];
}

}  // namespace cluscomp
