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
//
// Where dimensions have bits of their own (SAQ, arXiv 2509.12086), o is turned to other axes first, and number u of
// axis j, of which only the highest bits are stored, stands for unit[j] * (u - middle[j]).
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/assign.h"

namespace cluscomp {

struct RabitqFactors {
  float scale, add, error;
};

// The axes of rows whose dimensions have bits of their own.
struct RabitqAxes {
  std::vector<float> directions;  // (d, d), orthonormal rows
  std::vector<float> units;       // (d)
  std::vector<int64_t> widths;    // bytes of each plane: it has bits of the first 8 * width axes. None is wider than
                                  // the one before; even, or (d + 7) / 8
  int64_t code_bytes;             // of all planes, at least
  float bar;                      // of `error`, as a multiple of what it is where errors and queries lie anyhow
};

// A code row: `bits` planes, that of the highest bits first, in which bit j % 8 of byte j / 8 belongs to dimension j;
// then scale and add as float32, and error as bfloat16, little-endian.
class Rabitq {
 public:
  static constexpr int64_t kFactorBytes = 10;
  static constexpr int64_t kMostDims = 1 << 17;     // sums of table entries fit 32 bits
  static constexpr int kParts = 3, kMostShift = 4;  // of tables, whose steps are up to 2^kMostShift apart
  static constexpr int64_t kMostTurnedDims = kMostDims >> kMostShift;

  // mean: (d), taken off every row besides what it is the residual of.
  Rabitq(const float* mean, int64_t d, int bits);
  Rabitq(const float* mean, int64_t d, RabitqAxes axes);

  int64_t d() const { return static_cast<int64_t>(mean_.size()); }
  int bits() const { return static_cast<int>(widths().size()); }
  const float* mean() const { return mean_.data(); }
  const std::vector<int64_t>& widths() const { return axes_.widths; }  // bytes of each plane
  int64_t start(int plane) const { return starts_[static_cast<size_t>(plane)]; }
  double middle(int64_t j) const { return middles_[static_cast<size_t>(j)]; }
  float unit(int64_t j) const { return axes_.units[static_cast<size_t>(j)]; }
  int64_t code_bytes() const { return axes_.code_bytes; }
  float bar() const { return axes_.bar; }
  // Bytes of planes are cut in parts of axes of at most two neighbouring numbers of bits, so that a query has products
  // of like size with them. Axes of the least bits are one part.
  int part_of(int64_t byte) const { return (byte >= part_end(0)) + (byte >= part_end(1)); }
  int64_t part_end(int part) const {
    const int plane = bits() - 2 - 2 * part;
    return widths()[plane > 0 && part < kParts - 1 ? static_cast<size_t>(plane) : 0];
  }
  // What <q, o> is the product of with the numbers less their middles: out (d) = unit * <direction, v>.
  void turn_query(const float* v, float* out) const;
  int64_t row_bytes() const { return code_bytes() + kFactorBytes; }

  // Codes (n, row_bytes) of rows x (n, d). whole: (n, d) what x are residuals of, x itself where they are none; the
  // centre of a row is whole - x + mean. metric: of the factor `add`.
  void encode(const float* x, const float* whole, int64_t n, Metric metric, uint8_t* codes) const;
  // Rows (n, d) float32: mean plus the multiple of x that is nearest to o.
  void decode(const uint8_t* codes, int64_t n, float* out) const;

 private:
  std::vector<float> mean_;
  RabitqAxes axes_;  // no directions: the rows' own
  std::vector<int64_t> starts_;
  std::vector<int> steps_;  // of the number of each dimension: 2^(bits that are not stored)
  std::vector<double> middles_;

  struct Scratch;
  struct Direction;
  void improve(const float* o, float* x, Direction& at) const;
  void write_planes(const std::vector<uint8_t>& numbers, uint8_t* code) const;
  void turn(std::vector<float>& v, std::vector<float>& scratch) const;
  void turn_back(std::vector<float>& v, std::vector<float>& scratch) const;
  void encode_row(const float* x, const float* whole, Metric metric, Scratch& scratch, uint8_t* row) const;
};

// Factors whose first byte is at `at`.
RabitqFactors read_factors(const uint8_t* at);

}  // namespace cluscomp
