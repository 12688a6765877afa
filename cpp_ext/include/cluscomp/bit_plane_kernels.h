// Kernels of codes that are planes of bits with factors behind them (rabitq.h), part of the table `Kernels`. Rows stand
// in the order of `sum_slot` (kernels.h), 64 at a time.
#pragma once

#include <cstdint>

namespace cluscomp {

// What bounds the scores of rows: scale * (sum * step + low) + add + error * width reaches `needed`. All are finite,
// but `needed` may be -infinity.
struct PlaneTerms {
  float step, low, width, needed;
};

struct BitPlaneKernels {
  // <u, query> of one row: u_j has a bit in each of the `bits` planes (1 to 8), that of the highest first, but none
  // where it lies beyond the plane's bytes. widths: these, none larger than the one before; even, but the largest may
  // be odd. query: padded with zeros to a multiple of 16. Lane j % 16 of a plane sums in the order of j, a lane of all
  // planes is twice that of the higher ones plus the next, and lanes are added by halves.
  float (*dot_planes)(const uint8_t* planes, int bits, const int64_t* widths, const float* query);
  // sums[i] = 2^doublings * sums[i] + 2^shift * entries[i], 64 of them.
  void (*add_plane)(const uint16_t* entries, int doublings, int shift, int32_t* sums);
  // Factors of 32 rows whose bytes are interleaved [10][32], as RabitqFactors has them: out [3][64], 32 of each.
  void (*read_factors)(const uint8_t* bytes, float* out);
  // bounds[i] = |add| * 2^-20 + (scale * (sum * step + low) + add) + error * width, each product fused with the sum
  // behind it. Bit i of the result: not below `needed`. factors: [3][64].
  uint64_t (*plane_bounds)(const int32_t* sums, const float* factors, const PlaneTerms& terms, float* bounds);
};

}  // namespace cluscomp
