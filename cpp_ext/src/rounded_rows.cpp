#include "cluscomp/rounded_rows.h"

#include <cmath>

#include "cluscomp/pack.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr float kLargest = 32767;
constexpr float kUp = 1 + 0x1p-18f;  // covers the rounding of a few float32 operations

// |rounded row| stays below 2^15, and inner products below 2^30.
float scale_of(float largest_square, int64_t d) {
  if (!(largest_square > 0)) return 1;
  const float room = kLargest - std::sqrt(static_cast<float>(d));
  return room / (std::sqrt(largest_square) * kUp);
}

}  // namespace

bool RoundedRows::round(const Kernels& kern, const float* rows, int64_t count, int64_t d, int64_t ld) {
  n = count;
  const int64_t d4 = round_up(d, 4);
  pairs = d4 / 2;
  columns.resize(static_cast<size_t>(groups() * d4 * kLanes));
  norms.resize(static_cast<size_t>(groups() * kLanes));
  values.resize(static_cast<size_t>(groups() * pairs * kLanes));
  const std::vector<float> zeros(static_cast<size_t>(ld), 0.0f);
  const float square = kern.columns_f32(rows, ld, groups(), zeros.data(), d4, columns.data(), norms.data());
  if (!(square <= kLongestRow * kLongestRow)) return false;
  scale = scale_of(square, d);
  if (!std::isfinite(scale)) scale = 1;  // rows so short that they are taken for zeros
  for (int64_t g = 0; g < groups(); ++g) {
    check_interrupt();
    kern.columns_i16(columns.data() + g * d4 * kLanes, 1, d4, pairs, scale, values.data() + g * pairs * kLanes);
  }
  return true;
}

}  // namespace cluscomp
