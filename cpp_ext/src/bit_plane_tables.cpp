#include "bit_plane_tables.h"

#include <algorithm>
#include <cmath>

namespace cluscomp {
namespace {

constexpr double kEntryRounding = 0.5001;  // of Kernels::byte_tables, in steps: entries are rounded up by it

}  // namespace

void BitPlaneTables::fill(const float* query, bool bytes, bool rough) {
  const int64_t d = form_->d(), width = form_->plane_bytes();
  query_ = query;
  padded_.assign(static_cast<size_t>((d + 15) / 16 * 16), 0.0f);
  std::copy_n(query, d, padded_.data());
  double total = 0;
  for (int64_t j = 0; j < d; ++j) total += static_cast<double>(query[j]);
  middle_ = static_cast<float>(total * static_cast<double>(form_->middle()));
  product_of_mean_ = kernels().dot(query, form_->mean(), RowType::f32, d);
  usable_ = rough_ = false;
  if (!bytes) return;
  floats_.assign(static_cast<size_t>(width * 32), 0.0f);
  for (int64_t j = 0; j < d; ++j) {
    float* table = floats_.data() + j / 4 * 16;
    const int bit = 1 << j % 4;
    for (int v = 0; v < bit; ++v) table[bit + v] = table[v] + query[j];
  }
  bytes_.resize(floats_.size());
  scale_ = kernels().byte_tables(floats_.data(), 2 * width, 1.0f, bytes_.data());
  const double most = static_cast<double>((1 << form_->bits()) - 1), sums = scale_.magnitude * most;
  const double middle = static_cast<double>(middle_), step = static_cast<double>(scale_.step);
  // float32 sums of bits and of entries, and what follows, are off by at most this much; the lengths of all values of
  // the query are at most twice the magnitude
  const double slack =
      sums * static_cast<double>(width + form_->bits() + 8) * 0x1p-23 + 0x1p-21 * (sums + std::fabs(middle));
  const double gain = metric_ == Metric::l2 ? 2 : 1;
  usable_ = std::isfinite(step) && slack < 1e36;
  rough_ = rough && usable_;
  const double up = kEntryRounding * step * most * static_cast<double>(2 * width);
  step_ = usable_ ? static_cast<float>(gain * step) : 0;
  low_ = usable_ ? static_cast<float>(gain * (scale_.low * most - middle + (rough_ ? -up : slack))) : 0;
  if (!usable_) std::fill(bytes_.begin(), bytes_.end(), uint8_t{0});
  largest_sum_ = 0;
  for (auto table = bytes_.begin(); table != bytes_.end(); table += 16)
    largest_sum_ += *std::max_element(table, table + 16);
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
  const float dot = kernels().planes.dot_planes(row, form_->bits(), form_->plane_bytes(), padded_.data());
  const RabitqFactors factors = read_factors(row + form_->code_bytes());
  float score = factors.scale * ((metric_ == Metric::l2 ? 2.0f : 1.0f) * (dot - middle_));
  score += factors.add;
  score += base_;
  if (bars_ > 0) score += factors.error * width_;
  return score;
}

}  // namespace cluscomp
