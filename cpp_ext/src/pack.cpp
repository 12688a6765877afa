#include "cluscomp/pack.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr float kNoNumber = std::numeric_limits<float>::quiet_NaN();

// Below this the reciprocal of the scale would overflow: the row is taken as zero, and its whole length is error.
constexpr float kSmallest = 1e-30f;

struct Quantized {
  float scale, value_norm, error_norm;
  int32_t sum;
};

// A row with infinity or NaN, as after an overflow, has no bound: its norms are NaN, which passes every filter.
Quantized quantize_vector(const Kernels& kern, const float* centred, float largest, float sum_sq, int levels,
                          int64_t ld, int8_t* out) {
  if (!std::isfinite(largest) || std::isnan(sum_sq)) {
    std::fill_n(out, ld, int8_t{0});
    return {0.0f, kNoNumber, kNoNumber, 0};
  }
  const bool zero = largest < kSmallest;
  const float scale = zero ? 0.0f : largest / static_cast<float>(levels);
  const float inverse = zero ? 0.0f : static_cast<float>(levels) / largest;
  float value_sq, error_sq;
  const int32_t sum = kern.quantize(centred, scale, inverse, out, ld, &value_sq, &error_sq);
  const float vanished = vanished_norm(ld);
  return {scale, std::sqrt(value_sq) + vanished, std::sqrt(error_sq) + vanished, sum};
}

}  // namespace

int32_t quantize_row(const Kernels& kern, const IntFilter& filter, const float* centred, float largest, float sum_sq,
                     int64_t d, int64_t ld, int8_t* out, float* terms) {
  const Quantized q = quantize_vector(kern, centred, largest, sum_sq, filter.row_max, ld, out);
  const float slack = rounding_slack(d);
  terms[0] = q.scale;
  terms[1] = q.value_norm * (1 + slack);
  // the second part covers the rounding of x - mean and c - mean themselves
  terms[2] = q.error_norm * (1 + slack) + std::sqrt(sum_sq) * 0x1p-21f;
  terms[3] = 0;
  return filter.offset * q.sum;
}

FloatPanels pack_float(const Kernels& kern, const float* points, int64_t k, int64_t d, int64_t ld, const float* mean,
                       const double* bias) {
  const int64_t panels = round_up(k, kLanes) / kLanes;
  FloatPanels out;
  out.values.assign(static_cast<size_t>(panels * d * kLanes), 0.0f);
  out.bias.assign(static_cast<size_t>(panels * kLanes), kNothing);
  std::vector<float> norms(static_cast<size_t>(k));
  parallel_for(panels, 4, [&](int64_t begin, int64_t end) {
    std::vector<float> centred(static_cast<size_t>(ld));
    for (int64_t c = begin * kLanes; c < std::min(k, end * kLanes); ++c) {
      float sum_sq;
      kern.centre(points + c * ld, mean, centred.data(), ld, &sum_sq);
      norms[c] = std::sqrt(sum_sq) + vanished_norm(ld);
      out.bias[c] = static_cast<float>(bias[c]);
      float* panel = out.values.data() + (c / kLanes) * d * kLanes + c % kLanes;
      for (int64_t j = 0; j < d; ++j) panel[j * kLanes] = centred[j];
    }
  });
  for (int64_t c = 0; c < k; ++c) {
    out.largest_norm = std::max(out.largest_norm, norms[c]);
    out.largest_bias = std::max(out.largest_bias, std::fabs(out.bias[c]));
  }
  return out;
}

void pack_int_panel(const Kernels& kern, const IntFilter& filter, const float* points, int64_t count, int64_t d,
                    int64_t ld, const float* mean, const double* bias, uint8_t* values, float* terms) {
  const int64_t d4 = round_up(d, 4) / 4;
  const float slack = rounding_slack(d);
  thread_local std::vector<float> centred;
  thread_local std::vector<int8_t> integers;
  centred.resize(static_cast<size_t>(ld));
  integers.resize(static_cast<size_t>(ld));
  std::fill_n(values, d4 * 4 * kLanes, static_cast<uint8_t>(filter.offset));
  std::fill_n(terms, 4 * kLanes, 0.0f);
  std::fill_n(terms + kLanes, kLanes, kNothing);
  for (int64_t lane = 0; lane < count; ++lane) {
    float sum_sq;
    const float largest = kern.centre(points + lane * ld, mean, centred.data(), ld, &sum_sq);
    const Quantized q =
        quantize_vector(kern, centred.data(), largest, sum_sq, filter.centroid_max, ld, integers.data());
    terms[lane] = q.scale;
    terms[kLanes + lane] = static_cast<float>(bias[lane] + slack * std::fabs(bias[lane]));
    terms[2 * kLanes + lane] = q.error_norm * (1 + slack) + q.value_norm * slack;
    terms[3 * kLanes + lane] = (std::sqrt(sum_sq) + vanished_norm(ld)) * (1 + slack);
    for (int64_t j = 0; j < d; ++j)
      values[(j / 4) * 4 * kLanes + lane * 4 + j % 4] = static_cast<uint8_t>(integers[j] + filter.offset);
  }
}

IntPanels pack_int(const Kernels& kern, const IntFilter& filter, const float* points, int64_t k, int64_t d, int64_t ld,
                   const float* mean, const double* bias) {
  const int64_t panels = round_up(k, kLanes) / kLanes, panel_bytes = round_up(d, 4) * kLanes;
  IntPanels out;
  out.values.resize(static_cast<size_t>(panels * panel_bytes));
  out.terms.resize(static_cast<size_t>(panels * 4 * kLanes));
  parallel_for(panels, 4, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * kLanes;
      pack_int_panel(kern, filter, points + first * ld, std::min<int64_t>(kLanes, k - first), d, ld, mean, bias + first,
                     out.values.data() + p * panel_bytes, out.terms.data() + p * 4 * kLanes);
    }
  });
  return out;
}

}  // namespace cluscomp
