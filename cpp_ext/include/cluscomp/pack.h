// Centroids laid out for the filters: panels of 16, lanes are centroids.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "cluscomp/kernels.h"

namespace cluscomp {

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Relative slack that covers the rounding of every float32 sum of d terms in the kernels (they run 64 partial sums).
inline float rounding_slack(int64_t d) { return (static_cast<float>(d) / 16 + 64) * 0x1p-24f; }

// Norms come from float32 sums of squares, in which squares below 2^-150 underflow: upper bound of the norm that this
// can have removed. Bounds lose up to kVanished where products underflow. Rows this small always fall back to float64.
inline float vanished_norm(int64_t d) { return std::sqrt(static_cast<float>(d)) * 0x1p-74f; }
constexpr double kVanished = 0x1p-118;

struct FloatPanels {
  std::vector<float> values;  // [panels][d][16]
  std::vector<float> bias;    // [panels][16]; padding lanes hold -infinity
  float largest_norm = 0, largest_bias = 0;
};

struct IntPanels {
  std::vector<uint8_t> values;  // [panels][d4][16][4]
  std::vector<float> terms;     // [panels][4][16]: scale, bias, error norm, norm
};

// points: (k, ld) rows padded with zeros to ld; mean (ld); bias (k): the additive term of the objective.
FloatPanels pack_float(const Kernels& kern, const float* points, int64_t k, int64_t d, int64_t ld, const float* mean,
                       const double* bias);
IntPanels pack_int(const Kernels& kern, const IntFilter& filter, const float* points, int64_t k, int64_t d, int64_t ld,
                   const float* mean, const double* bias);

// The same for 16 points at most, into memory of the caller: values [d4][16][4] and terms [4][16] of one panel.
void pack_int_panel(const Kernels& kern, const IntFilter& filter, const float* points, int64_t count, int64_t d,
                    int64_t ld, const float* mean, const double* bias, uint8_t* values, float* terms);

// One row, quantised for the integer filter. `terms` gets scale, |X|, |ex| and 0; returns offset * sum of integers.
int32_t quantize_row(const Kernels& kern, const IntFilter& filter, const float* centred, float largest, float sum_sq,
                     int64_t d, int64_t ld, int8_t* out, float* terms);

}  // namespace cluscomp
