#include "bit_plane_tables.h"

#include <algorithm>
#include <cmath>

namespace cluscomp {
namespace {

constexpr double kEntryRounding = 0.5001;  // of Kernels::byte_tables, in steps: entries are rounded up by it

}  // namespace

void BitPlaneTables::fill(const float* query, bool bytes, bool rough) {
  const int64_t d = form_->d(), width = form_->widths()[0];
  query_ = query;
  padded_.assign(static_cast<size_t>((d + 15) / 16 * 16), 0.0f);
  form_->turn_query(query, padded_.data());
  double total = 0, lengths = 0;
  for (int64_t j = 0; j < d; ++j) {
    total += static_cast<double>(padded_[j]) * form_->middle(j);
    lengths += std::fabs(static_cast<double>(padded_[j]));
  }
  middle_ = static_cast<float>(total);
  product_of_mean_ = kernels().dot(query, form_->mean(), RowType::f32, d);
  usable_ = rough_ = false;
  if (!bytes) return;
  floats_.assign(static_cast<size_t>(width * 32), 0.0f);
  for (int64_t j = 0; j < std::min(d, 8 * width); ++j) {
    float* table = floats_.data() + j / 4 * 16;
    const int bit = 1 << j % 4;
    for (int v = 0; v < bit; ++v) table[bit + v] = table[v] + padded_[j];
  }
  const float finest = level_parts();
  bytes_.resize(floats_.size());
  scale_ = kernels().byte_tables(floats_.data(), 2 * width, 1.0f, bytes_.data());
  const double sums = lengths * static_cast<double>((1 << form_->bits()) - 1);
  const double middle = static_cast<double>(middle_), step = static_cast<double>(scale_.step / finest);
  // float32 sums of bits and of entries, and what follows, are off by at most this much
  const double slack =
      sums * static_cast<double>(width + form_->bits() + 8) * 0x1p-23 + 0x1p-21 * (sums + std::fabs(middle));
  const double gain = metric_ == Metric::l2 ? 2 : 1;
  usable_ = std::isfinite(step) && slack < 1e36;
  rough_ = rough && usable_;
  step_ = usable_ ? static_cast<float>(gain * step) : 0;
  if (!usable_) std::fill(bytes_.begin(), bytes_.end(), uint8_t{0});
  const double up = rough_ ? -kEntryRounding * step : 0;  // of an entry
  const double low = add_planes(up, static_cast<double>(finest)) - middle + (rough_ ? 0 : slack);
  low_ = usable_ ? static_cast<float>(gain * low) : 0;
}

float BitPlaneTables::level_parts() {
  constexpr int kParts = Rabitq::kParts;
  float ranges[kParts] = {};
  const auto part_of = [&](int64_t table) { return form_->part_of(table / 2); };
  const int64_t tables = 2 * form_->widths()[0];
  for (int64_t t = 0; t < tables; ++t) {
    const float* q = padded_.data() + 4 * t;
    const float range = std::fabs(q[0]) + std::fabs(q[1]) + std::fabs(q[2]) + std::fabs(q[3]);
    ranges[part_of(t)] = std::max(ranges[part_of(t)], range);
  }
  const float largest = *std::max_element(ranges, ranges + kParts);
  int powers[kParts] = {}, finest = 0;
  for (int part = 0; part < kParts; finest = std::max(finest, powers[part++]))
    while (powers[part] < Rabitq::kMostShift && ranges[part] > 0 && 2 * ranges[part] <= largest) {
      ranges[part] *= 2;
      ++powers[part];
    }
  for (int part = 0; part < kParts; ++part) shifts_[part] = finest - powers[part];
  if (finest)
    for (int64_t t = 0; t < tables; ++t)
      for (int i = 0; i < 16; ++i)
        floats_[static_cast<size_t>(16 * t + i)] *= static_cast<float>(1 << powers[part_of(t)]);
  return static_cast<float>(1 << finest);
}

double BitPlaneTables::add_planes(double up, double finest) {
  const int bits = form_->bits();
  double lows = 0, all = 0;  // of the tables of a plane, and of all planes
  int32_t most = 0;
  int64_t table = 0;
  for (int plane = bits; plane-- > 0;) {
    for (; table < 2 * form_->widths()[static_cast<size_t>(plane)]; ++table) {
      int negative = 0;  // bits of the least entry
      for (int j = 0; j < 4; ++j) negative |= (padded_[static_cast<size_t>(4 * table + j)] < 0) << j;
      const int shift = shifts_[form_->part_of(table / 2)];
      lows += (1 << shift) * (static_cast<double>(floats_[static_cast<size_t>(16 * table + negative)]) / finest + up);
      most += *std::max_element(bytes_.begin() + table * 16, bytes_.begin() + table * 16 + 16) << shift;
    }
    const int weight = 1 << (bits - 1 - plane);
    all += weight * lows;
    if (plane) most_behind_[plane - 1] = weight * most + (plane < bits - 1 ? most_behind_[plane] : 0);
  }
  most_behind_[bits - 1] = 0;
  return all;
}

void BitPlaneTables::enter(const float* centroid, const float* product) {
  const Kernels& kern = kernels();
  const int64_t d = form_->d();
  float square = 0;  // |q - c|^2
  if (metric_ == Metric::l2 || bars_ > 0) {
    thread_local std::vector<float> rest;
    rest.assign(query_, query_ + d);
    for (int64_t j = 0; j < d; ++j) rest[j] -= form_->mean()[j];
    square = centroid ? kern.l2(rest.data(), centroid, RowType::f32, d)
                      : kern.dot(rest.data(), rest.data(), RowType::f32, d);
  }
  if (metric_ == Metric::l2) {
    base_ = -square;
  } else {
    base_ = product_of_mean_;
    if (centroid) base_ += product ? *product : kern.dot(query_, centroid, RowType::f32, d);
  }
  width_ = bars_ > 0 ? bars_ * std::sqrt(square) * (metric_ == Metric::l2 ? 2.0f : 1.0f) : 0.0f;
}

float BitPlaneTables::needed(float threshold) const {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  if (!usable_ || threshold == kNone || !std::isfinite(base_) || !std::isfinite(width_)) return kNone;
  const double wanted = static_cast<double>(threshold), base = static_cast<double>(base_);
  return static_cast<float>(wanted - base - 0x1p-20 * (std::fabs(wanted) + std::fabs(base)) - 1e-30);
}

float BitPlaneTables::score(const uint8_t* row) const {
  const float dot = kernels().planes.dot_planes(row, form_->bits(), form_->widths().data(), padded_.data());
  const RabitqFactors factors = read_factors(row + form_->code_bytes());
  float score = factors.scale * ((metric_ == Metric::l2 ? 2.0f : 1.0f) * (dot - middle_));
  score += factors.add;
  score += base_;
  if (bars_ > 0) score += factors.error * width_;
  return score;
}

}  // namespace cluscomp
