// RaBitQ codes of 1 to 8 bits a dimension: the grid point whose direction is nearest to that of a row, and factors that
// make an unbiased estimate of inner products of it, with an error bar. Gao, Long, "RaBitQ", SIGMOD 2024; Gao et al.,
// "Practical and asymptotically optimal quantization", SIGMOD 2025 (more bits).
//
// A row less its centre, o = v - c, becomes grid numbers u in [0, 2^bits), which stand for x = u - (2^bits - 1) / 2:
//   scale = |o|^2 / <x, o>       <q, o> is estimated by scale * <q, x>
//   error = |o| sqrt(1 / cos^2 - 1) / sqrt(d - 1)     cos = <x, o> / (|x| |o|)
//   add   = <o, c> - scale <c, x>                     inner products:   <q, v> ~ <q, c> + add + scale <q, x>
//           -(|o|^2 + 2 scale <c, x>)                 distances: -|q - v|^2 ~ -|q - c|^2 + add + 2 scale <q, x>
// The standard deviation of an estimate is error * |q - c|, twice that for distances.
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/assign.h"

namespace cluscomp {

struct RabitqFactors {
  float scale, add, error;
};

// A code row: `bits` planes of plane_bytes() bytes, that of the highest bits first, in which bit j % 8 of byte j / 8
// belongs to dimension j; then scale and add as float32, and error as bfloat16, little-endian.
class Rabitq {
 public:
  static constexpr int64_t kFactorBytes = 10;
  static constexpr int64_t kMostDims = 1 << 17;  // sums of table entries fit 32 bits

  // mean: (d), taken off every row besides what it is the residual of.
  Rabitq(const float* mean, int64_t d, int bits) : mean_(mean, mean + d), bits_(bits) {}

  int64_t d() const { return static_cast<int64_t>(mean_.size()); }
  int bits() const { return bits_; }
  const float* mean() const { return mean_.data(); }
  float middle() const { return 0.5f * static_cast<float>((1 << bits_) - 1); }
  int64_t plane_bytes() const { return (d() + 7) / 8; }
  int64_t code_bytes() const { return bits_ * plane_bytes(); }
  int64_t row_bytes() const { return code_bytes() + kFactorBytes; }

  // Codes (n, row_bytes) of rows x (n, d). whole: (n, d) what x are residuals of, x itself where they are none; the
  // centre of a row is whole - x + mean. metric: of the factor `add`.
  void encode(const float* x, const float* whole, int64_t n, Metric metric, uint8_t* codes) const;
  // Rows (n, d) float32: mean plus the multiple of x that is nearest to o.
  void decode(const uint8_t* codes, int64_t n, float* out) const;

 private:
  std::vector<float> mean_;
  int bits_;

  struct Scratch;
  void encode_row(const float* x, const float* whole, Metric metric, Scratch& scratch, uint8_t* row) const;
};

// Factors whose first byte is at `at`.
RabitqFactors read_factors(const uint8_t* at);

}  // namespace cluscomp
