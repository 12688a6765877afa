#include "cluscomp/prefix_filter.h"

#include <algorithm>
#include <cmath>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int kRowLevels = 64, kPointLevels = 127, kOffset = 128;  // of dots_u8
// What a is chosen for: rows lose so many times more by their tail than by rounding. Bounds hold for any a.
constexpr float kTailOverRounding = 32;

// Upper bound of the length of a row whose squares were summed in float32.
float length_of(float sum_sq, int64_t ld) { return std::sqrt(sum_sq) * (1 + rounding_slack(ld)) + vanished_norm(ld); }

float joined(float a, float b) {
  return static_cast<float>(std::sqrt(static_cast<double>(a) * a + static_cast<double>(b) * b) * (1 + 0x1p-20));
}

}  // namespace

PrefixFilter::PrefixFilter(const Kernels& kern, const IntFilter& filter, const float* basis, int64_t m,
                           const float* points, int64_t k, int64_t d, int64_t ld, const float* mean, const double* bias)
    : kern_(kern), filter_(filter), d_(d), ld_(ld), m_(m), wide_(round_up(d, 64)) {
  basis_.resize(static_cast<size_t>(m * d));
  nothing_.assign(static_cast<size_t>(std::max(m, ld)), 0.0f);
  for (int64_t i = 0; i < d; ++i)
    for (int64_t j = 0; j < m; ++j) basis_[(j / kLanes * d + i) * kLanes + j % kLanes] = basis[i * m + j];
  set_defect();
  // Each of the m sums of d products is off by at most d roundings of |x| |v|.
  rotation_error_ =
      std::sqrt(static_cast<float>(m)) * static_cast<float>(d + 2) * 0x1p-24f * (1 + defect_) * (1 + 0x1p-10f);
  pack(points, k, mean, bias);
}

// |V'V - I| is at most its Frobenius norm. Sums in float64; what they lose is far below the 2^-20 on top.
void PrefixFilter::set_defect() {
  double total = 0;
  for (int64_t a = 0; a < m_; ++a)
    for (int64_t b = 0; b <= a; ++b) {
      const float* left = basis_.data() + a / kLanes * d_ * kLanes + a % kLanes;
      const float* right = basis_.data() + b / kLanes * d_ * kLanes + b % kLanes;
      double dot = 0;
      for (int64_t i = 0; i < d_; ++i) dot += static_cast<double>(left[i * kLanes]) * right[i * kLanes];
      total += a == b ? (dot - 1) * (dot - 1) : 2 * dot * dot;
    }
  defect_ = static_cast<float>(std::sqrt(total)) * (1 + 0x1p-10f) + 0x1p-20f;
}

// In float64, since squares of small norms vanish in float32.
PrefixFilter::Split PrefixFilter::split(const float* prefix, float sum_sq) const {
  const double computed = std::sqrt(kern_.dot_f64(prefix, prefix, m_));
  const auto length = static_cast<double>(length_of(sum_sq, ld_)) * (1 + 0x1p-20);
  const double off = rotation_error_ * length;  // the computed prefix is no farther from V'x
  const double known = defect_ < 1 ? std::max(0.0, computed - off) : computed + off;
  const double tail_sq = length * length - (1 - static_cast<double>(defect_)) * known * known;
  return {static_cast<float>((computed + off) * (1 + 0x1p-20)),
          static_cast<float>(std::sqrt(std::max(0.0, tail_sq)) * (1 + 0x1p-20))};
}

void PrefixFilter::pack(const float* points, int64_t k, const float* mean, const double* bias) {
  const int64_t panels = round_up(k, kLanes) / kLanes, panel_bytes = m_ * kLanes;
  std::vector<float> rotated(static_cast<size_t>(panels * kLanes * m_), 0.0f);
  std::vector<Split> parts(static_cast<size_t>(k));
  whole_.assign(static_cast<size_t>(k * wide_), static_cast<uint8_t>(kOffset));
  whole_terms_.resize(static_cast<size_t>(4 * k));
  const IntFilter whole{.row_max = kPointLevels, .centroid_max = kPointLevels, .offset = 0, .bounds = nullptr};
  parallel_for(k, 64, [&](int64_t begin, int64_t end) {
    std::vector<float> centred(static_cast<size_t>(ld_));
    std::vector<int8_t> integers(static_cast<size_t>(ld_));
    for (int64_t c = begin; c < end; ++c) {
      float sum_sq;
      const float largest = kern_.centre(points + c * ld_, mean, centred.data(), ld_, &sum_sq);
      kern_.filter_f32(centred.data(), ld_, 1, basis_.data(), nothing_.data(), static_cast<int>(m_ / kLanes), d_,
                       rotated.data() + c * m_, m_);
      parts[c] = split(rotated.data() + c * m_, sum_sq);
      float* terms = whole_terms_.data() + 4 * c;
      quantize_row(kern_, whole, centred.data(), largest, sum_sq, d_, ld_, integers.data(), terms);
      const float slack = rounding_slack(d_);
      terms[2] += terms[1] * slack;  // as `pack_int_panel` has it
      terms[3] = length_of(sum_sq, ld_) * (1 + slack);
      terms[1] = static_cast<float>(bias[c] + slack * std::fabs(bias[c]));
      for (int64_t j = 0; j < d_; ++j) whole_[c * wide_ + j] = static_cast<uint8_t>(integers[j] + kOffset);
    }
  });
  double prefixes = 0, tails = 0;
  for (const Split& part : parts) {
    prefixes += static_cast<double>(part.prefix);
    tails += static_cast<double>(part.tail);
  }
  const double ratio = kTailOverRounding * prefixes / tails;
  balance_ = ratio > 1 && ratio < 1e6 ? static_cast<float>(std::sqrt(ratio)) : 1.0f;
  panels_.values.resize(static_cast<size_t>(panels * panel_bytes));
  panels_.terms.resize(static_cast<size_t>(panels * 4 * kLanes));
  parallel_for(panels, 4, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * kLanes, count = std::min<int64_t>(kLanes, k - first);
      float* terms = panels_.terms.data() + p * 4 * kLanes;
      pack_int_panel(kern_, filter_, rotated.data() + first * m_, count, m_, m_, nothing_.data(), bias + first,
                     panels_.values.data() + p * panel_bytes, terms);
      for (int64_t lane = 0; lane < count; ++lane) {
        const Split& part = parts[first + lane];
        const float length = whole_terms_[4 * (first + lane) + 3], scaled = part.prefix / balance_;
        terms[2 * kLanes + lane] += rotation_error_ * length;
        terms[3 * kLanes + lane] = joined(scaled, part.tail) * (1 + rounding_slack(d_));
      }
    }
  });
}

void PrefixFilter::prepare(const float* centred, const float* largest, const float* sum_sq, int64_t n,
                           Rows& rows) const {
  const auto fit = [](auto& buffer, int64_t size) {
    if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(static_cast<size_t>(size));
  };
  fit(rows.rotated, (n + 1) * m_);
  fit(rows.integers, n * m_);
  fit(rows.terms, 4 * n);
  fit(rows.sums, n);
  fit(rows.whole, n * wide_);
  fit(rows.whole_terms, 4 * n);
  fit(rows.whole_sums, n);
  const IntFilter whole{.row_max = kRowLevels, .centroid_max = kPointLevels, .offset = kOffset, .bounds = nullptr};
  kern_.filter_f32(centred, ld_, static_cast<int>(n), basis_.data(), nothing_.data(), static_cast<int>(m_ / kLanes), d_,
                   rows.rotated.data(), m_);
  float* spare = rows.rotated.data() + n * m_;
  for (int64_t r = 0; r < n; ++r) {
    const float* prefix = rows.rotated.data() + r * m_;
    const Split part = split(prefix, sum_sq[r]);
    float prefix_sq;
    const float most = kern_.centre(prefix, nothing_.data(), spare, m_, &prefix_sq);
    float* terms = rows.terms.data() + 4 * r;
    rows.sums[r] = quantize_row(kern_, filter_, prefix, most, prefix_sq, m_, m_, rows.integers.data() + r * m_, terms);
    const float length = length_of(sum_sq[r], ld_);
    // The error of rotation, that of x - mean and c - mean themselves, and the part of the defect.
    const float error = balance_ * (terms[2] + (rotation_error_ + 0x1p-21f) * length + defect_ * part.prefix);
    terms[2] = joined(error, part.tail) * (1 + rounding_slack(d_)) + length * 0x1p-21f;
    int8_t* integers = rows.whole.data() + r * wide_;
    std::fill(integers + d_, integers + wide_, int8_t{0});
    std::vector<int8_t>& padded = rows.padded;
    fit(padded, ld_);
    rows.whole_sums[r] = quantize_row(kern_, whole, centred + r * ld_, largest[r], sum_sq[r], d_, ld_, padded.data(),
                                      rows.whole_terms.data() + 4 * r);
    std::copy_n(padded.data(), d_, integers);
  }
}

void PrefixFilter::bounds(Rows& rows, int64_t n, int64_t first, int64_t count, int64_t width) const {
  if (static_cast<int64_t>(rows.bounds.size()) < n * width) rows.bounds.resize(static_cast<size_t>(n * width));
  const int64_t panel = first / kLanes;
  filter_.bounds(rows.integers.data(), static_cast<int>(n), panels_.values.data() + panel * m_ * kLanes,
                 panels_.terms.data() + panel * 4 * kLanes, rows.terms.data(), rows.sums.data(),
                 static_cast<int>(round_up(count, kLanes) / kLanes), m_ / 4, rows.bounds.data(), width);
}

float PrefixFilter::whole_bound(const Rows& rows, int64_t row, int64_t point) const {
  const float *of_row = rows.whole_terms.data() + 4 * row, *of_point = whole_terms_.data() + 4 * point;
  int32_t dot;
  kern_.dots_u8(whole_.data() + point * wide_, 1, wide_, rows.whole.data() + row * wide_, &dot);
  const auto product = static_cast<float>(dot - rows.whole_sums[row]);
  return product * (of_row[0] * of_point[0]) + of_point[1] + of_row[1] * of_point[2] + of_row[2] * of_point[3];
}

}  // namespace cluscomp
