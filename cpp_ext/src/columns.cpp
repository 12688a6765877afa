#include "cluscomp/columns.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cluscomp/pack.h"

namespace cluscomp {
namespace {

constexpr float kLargest = 32000.0f;             // of the 16-bit numbers
constexpr double kLargestScore = 1 << 30;        // of the 32-bit sums
constexpr float kRange = 1e30f, kTiny = 1e-30f;  // squared norms outside are left to the float filter
constexpr int32_t kNothing = std::numeric_limits<int32_t>::min();
constexpr double kRounding = 0x1p-21;  // of x - mean, c - mean and their products with a scale

int32_t pair_of(int32_t low, int32_t high) {
  return static_cast<int32_t>((static_cast<uint32_t>(low) & 0xffffu) | (static_cast<uint32_t>(high) << 16));
}

template <class T>
void grow(std::vector<T>& buffer, int64_t size) {
  if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(static_cast<size_t>(size));
}

// The factor of the rows: what 16 bits hold, and what keeps every sum below kLargestScore.
float row_scale(const ColumnPanels& panels, double norm) {
  const double room =
      kLargestScore / (static_cast<double>(panels.scale) * (1.001 * norm * static_cast<double>(panels.largest_norm) +
                                                            static_cast<double>(panels.largest_bias)) +
                       1e-30);
  return static_cast<float>(std::min(static_cast<double>(kLargest) / norm, room));
}

// Twice the bound of columns.h, with the low bytes (cleared in a start, replaced by the centroid's number in a score:
// off by less than 512 together) and the rounding of the float32 steps before.
int64_t needed_gap(const ColumnPanels& panels, double norm, double scale, int64_t d) {
  const double q = static_cast<double>(panels.scale), c_norm = q * static_cast<double>(panels.largest_norm);
  const double x_norm = scale * norm, root = 0.5 * std::sqrt(static_cast<double>(d));
  const double x_error = root * (1 + 0x1p-8) + kRounding * x_norm;
  const double c_error = static_cast<double>(panels.largest_error) + kRounding * c_norm;
  const double bias = kRounding * scale * q * static_cast<double>(panels.largest_bias);
  return static_cast<int64_t>(2 * ((x_norm + x_error) * c_error + x_error * c_norm + bias + 1)) + 1024;
}

}  // namespace

ColumnPanels pack_columns(const Kernels& kern, const float* points, int64_t k, int64_t d, int64_t ld, const float* mean,
                          const double* bias) {
  const int64_t pairs = (d + 1) / 2, padded = round_up(k, kColumnUnit);
  ColumnPanels out;
  std::vector<float> centred(static_cast<size_t>(k * ld));
  double low = bias[0], high = bias[0], norm_sq = 0;
  for (int64_t c = 0; c < k; ++c) {
    float sum_sq;
    kern.centre(points + c * ld, mean, centred.data() + c * ld, ld, &sum_sq);
    norm_sq = std::max(norm_sq, static_cast<double>(sum_sq));
    low = std::min(low, bias[c]);
    high = std::max(high, bias[c]);
  }
  const auto in_range = [](double value) { return value < static_cast<double>(kRange); };  // NaN is not
  const bool usable = norm_sq > static_cast<double>(kTiny) && in_range(norm_sq) && in_range(high - low);
  out.largest_norm = usable ? static_cast<float>(std::sqrt(norm_sq) * 1.00001) : 0.0f;
  out.scale = usable ? kLargest / out.largest_norm : 0.0f;
  out.largest_bias = static_cast<float>((high - low) * 0.500001);
  out.values.assign(static_cast<size_t>(padded * pairs), 0);
  out.bias.assign(static_cast<size_t>(padded), -std::numeric_limits<float>::infinity());
  if (!usable) return out;
  std::vector<int32_t> row(static_cast<size_t>(2 * pairs), 0);
  for (int64_t c = 0; c < k; ++c) {
    double error_sq = 0;
    for (int64_t j = 0; j < d; ++j) {
      const double exact = static_cast<double>(centred[c * ld + j]) * static_cast<double>(out.scale);
      row[j] = static_cast<int32_t>(std::nearbyint(exact));
      error_sq += (exact - row[j]) * (exact - row[j]);
    }
    out.largest_error = std::max(out.largest_error, static_cast<float>(std::sqrt(error_sq) * 1.00001));
    for (int64_t p = 0; p < pairs; ++p) out.values[c * pairs + p] = pair_of(row[2 * p], row[2 * p + 1]);
    out.bias[c] = static_cast<float>(bias[c] - (low + high) / 2);
  }
  return out;
}

ColumnOutcome assign_columns(const Kernels& kern, const ColumnPanels& panels, const float* x, int64_t ldx, int64_t rows,
                             int64_t k, int64_t d, const float* mean, int32_t* labels, int32_t* open,
                             int64_t* open_count, ColumnScratch& s) {
  const int64_t groups = round_up(rows, kLanes) / kLanes, d4 = round_up(d, 4), pairs = (d + 1) / 2;
  const int64_t padded = round_up(k, kColumnUnit);
  grow(s.columns, groups * d4 * kLanes);
  grow(s.integers, groups * pairs * kLanes);
  grow(s.start, round_up(padded, kLanes));
  if (panels.scale == 0.0f) return ColumnOutcome::out_of_range;
  const float largest_sq = kern.columns_f32(x, ldx, groups, mean, d4, s.columns.data(), s.sum_sq);
  if (!(largest_sq < kRange)) return ColumnOutcome::out_of_range;
  const double norm = std::sqrt(std::max(static_cast<double>(largest_sq), static_cast<double>(kTiny))) * 1.00001;
  const float scale = row_scale(panels, norm);
  kern.columns_i16(s.columns.data(), groups, d4, pairs, scale, s.integers.data());
  kern.start_i32(panels.bias.data(), padded, scale * panels.scale, s.start.data());
  for (int64_t first = 0; first < k; first += kColumnChunk) {
    const bool fresh = first == 0;
    int32_t* best = fresh ? s.best : s.chunk_best;
    int32_t* second = fresh ? s.second : s.chunk_second;
    kern.top2_i16(s.integers.data(), groups, panels.values.data() + first * pairs, s.start.data() + first,
                  std::min(kColumnChunk, padded - first), pairs, best, second);
    for (int64_t r = 0; r < rows; ++r) {
      const int32_t label = static_cast<int32_t>(first) + (best[r] & 255);
      if (fresh) {
        labels[r] = label;
        continue;
      }
      s.second[r] = std::max(std::min(s.best[r], best[r]), std::max(s.second[r], second[r]));
      if (best[r] <= s.best[r]) continue;
      s.best[r] = best[r];
      labels[r] = label;
    }
  }
  const int64_t gap = needed_gap(panels, norm, static_cast<double>(scale), d);
  int64_t count = 0;
  for (int64_t r = 0; r < rows; ++r) {
    open[count] = static_cast<int32_t>(r);
    count += static_cast<int64_t>(s.best[r]) - static_cast<int64_t>(s.second[r]) <= gap;
  }
  *open_count = count;
  return ColumnOutcome::done;
}

}  // namespace cluscomp
