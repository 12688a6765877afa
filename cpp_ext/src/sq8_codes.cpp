// Rows of 8-bit scalar codes are scored by a filter in integers, then in float32 where they may still be kept.
//
// Inner products are base + sum w[j] * code[j] with w[j] = query[j] * scale[j]. With w = step * W + e, W whole numbers,
//   sum w * code = step * sum W * code + sum e * (code - 127.5) + 127.5 * sum e
//               <= step * sum W * code + 127.5 * (sqrt(d) * |e| + sum e)     (Cauchy-Schwarz)
// so that a row reaches a score only if its whole sum reaches a whole number.
#include "cluscomp/sq8_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/pack.h"

namespace cluscomp {
namespace {

constexpr float kMostWeight = 64;
constexpr float kSmallest = 1e-30f;  // below it the reciprocal of the step would overflow
constexpr int64_t kAtOnce = 256;
constexpr int64_t kTrial = 1024;  // rows after which a filter that lets every fourth pass is given up

// The filter of one query.
class IntegerFilter {
 public:
  // w: (d) weights of the codes, zero up to the next multiple of 16. base: added to their sum.
  void set(const Kernels& kern, const std::vector<float>& w, int64_t d, float base) {
    float largest = 0;
    double sum = 0, lengths = 0;
    for (int64_t j = 0; j < d; ++j) {
      const double value = static_cast<double>(w[j]);
      largest = std::max(largest, std::fabs(w[j]));
      sum += value;
      lengths += std::fabs(value);
    }
    seen_ = passed_ = 0;
    on_ = d <= kMostByteDims && largest > kSmallest && std::isfinite(lengths) && std::isfinite(base);
    if (!on_) return;
    const float step = largest / kMostWeight;
    float value_sq, error_sq;
    weights_.resize(static_cast<size_t>(round_up(d, 64)));  // zero beyond round_up(d, 16), where nothing is written
    const int32_t whole = kern.quantize(w.data(), step, kMostWeight / largest, weights_.data(), round_up(d, kLanes),
                                        &value_sq, &error_sq);
    step_ = static_cast<double>(step);
    const double slack = static_cast<double>(rounding_slack(d));
    const double error = std::sqrt(static_cast<double>(error_sq)) * (1 + slack) + static_cast<double>(vanished_norm(d));
    // the sums of the scores and of these terms in float32
    const double rounding = (slack + 0x1p-22) * (255 * lengths + static_cast<double>(std::fabs(base)));
    above_ = static_cast<double>(base) + rounding + kVanished +
             127.5 * (std::sqrt(static_cast<double>(d)) * error + sum - step_ * whole);
  }
  bool on() const { return on_; }
  const int8_t* weights() const { return weights_.data(); }
  // The least whole sum with which a row may score `needed`.
  double least(double needed) const { return (needed - std::fabs(needed) * 0x1p-23 - above_) / step_; }
  void count(int64_t seen, int64_t passed) {
    seen_ += seen;
    passed_ += passed;
    if (seen_ >= kTrial && passed_ * 4 > seen_) on_ = false;
  }

 private:
  bool on_ = false;
  double step_ = 0, above_ = 0;
  int64_t seen_ = 0, passed_ = 0;
  std::vector<int8_t> weights_;
};

class Sq8Scorer final : public Scorer {
 public:
  Sq8Scorer(const uint8_t* codes, const float* vmin, const float* vdiff, const float* row_scales, int64_t d,
            Metric metric)
      : codes_(codes),
        row_scales_(row_scales),
        d_(d),
        metric_(metric),
        scale_(vdiff, vdiff + d),
        zero_(static_cast<size_t>(d)),
        query_(static_cast<size_t>(round_up(d, kLanes))) {
    for (int64_t j = 0; j < d; ++j) {
      scale_[j] = vdiff[j] / 255.0f;
      zero_[j] = vmin[j] + 0.5f * scale_[j];
    }
  }
  void set_query(const float* query) override {
    double base = 0;
    for (int64_t j = 0; j < d_; ++j) {
      base += static_cast<double>(query[j]) * static_cast<double>(zero_[j]);
      query_[j] = metric_ == Metric::ip ? query[j] * scale_[j] : query[j] - zero_[j];
    }
    base_ = static_cast<float>(base);
    if (metric_ == Metric::ip) filter_.set(kern_, query_, d_, base_);
  }
  int64_t together() const override { return 256; }
  int64_t row_bytes() const override { return d_; }
  void attach(const Codes& codes) override {
    const auto& stored = static_cast<const Sq8Codes&>(codes);
    codes_ = stored.row(0);
    row_scales_ = stored.scales();
  }
  void prefetch(const Codes& codes, int64_t row) const override {
    prefetch_bytes(static_cast<const Sq8Codes&>(codes).row(row), d_);
  }
  void score(int64_t row, int64_t n, float needed, float* out) override {
    for (; n > 0; row += kAtOnce, out += kAtOnce, n -= kAtOnce) score_some(row, std::min(n, kAtOnce), needed, out);
  }
  // All whole sums, then the rows of the k largest, then those that still reach.
  void rescore(const Parts::Place* rows, int64_t n, int64_t ahead, TopK& best) override {
    if (row_scales_ || !filter_.on() || n <= best.k()) return Scorer::rescore(rows, n, ahead, best);
    bounded_.clear();
    for_rows(rows, n, ahead, [&](const Parts::Place& place) {
      int32_t sum;
      kern_.dots_u8(static_cast<const Sq8Codes*>(place.codes)->row(place.row), 1, d_, filter_.weights(), &sum);
      bounded_.push_back({sum, &place});
    });
    const auto first = std::min<int64_t>(best.k(), static_cast<int64_t>(bounded_.size()));
    std::nth_element(bounded_.begin(), bounded_.begin() + first, bounded_.end(),
                     [](const Bounded& a, const Bounded& b) { return a.sum > b.sum; });
    for (int64_t i = 0; i < first; ++i) keep(*bounded_[i].place, best);
    double least = filter_.least(static_cast<double>(best.threshold()));
    for (auto i = bounded_.begin() + first; i < bounded_.end(); ++i) {
      if (i->sum < least) continue;
      keep(*i->place, best);
      least = filter_.least(static_cast<double>(best.threshold()));
    }
  }

 private:
  struct Bounded {
    int32_t sum;
    const Parts::Place* place;
  };
  std::vector<Bounded> bounded_;
  const Kernels& kern_ = kernels();
  const uint8_t* codes_;
  const float* row_scales_;
  int64_t d_;
  Metric metric_;
  std::vector<float> scale_, zero_, query_;
  float base_ = 0;
  IntegerFilter filter_;

  void keep(const Parts::Place& place, TopK& best) {
    attach(*place.codes);
    best.push(exact(place.row), place.position);
  }
  float exact(int64_t row) const {
    const uint8_t* code = codes_ + row * d_;
    if (metric_ != Metric::ip) return -kern_.l2_u8(query_.data(), scale_.data(), code, d_);
    const float product = base_ + kern_.dot_u8(query_.data(), code, d_);
    return row_scales_ ? row_scales_[row] * product : product;
  }
  // The least whole sum with which this row may score `needed`. A product with its scale is rounded once more.
  double least_of(int64_t row, float needed) const {
    const double scale = static_cast<double>(row_scales_[row]), product = static_cast<double>(needed) / scale;
    return filter_.least(product - std::fabs(product) * 0x1p-23 - 0x1p-149 / scale);
  }
  void score_some(int64_t row, int64_t n, float needed, float* out) {
    if (!filter_.on() || !(needed > -std::numeric_limits<float>::infinity())) {
      for (int64_t i = 0; i < n; ++i) out[i] = exact(row + i);
      return;
    }
    int32_t sums[kAtOnce];
    kern_.dots_u8(codes_ + row * d_, n, d_, filter_.weights(), sums);
    const double least = filter_.least(static_cast<double>(needed));
    int64_t passed = 0;
    for (int64_t i = 0; i < n; ++i) {
      const bool may_reach = !(sums[i] < (row_scales_ ? least_of(row + i, needed) : least));
      out[i] = may_reach ? exact(row + i) : -std::numeric_limits<float>::infinity();
      passed += may_reach;
    }
    filter_.count(n, passed);
  }
};

}  // namespace

bool Sq8Codes::same_form(const Codes& other) const {
  const auto* codes = dynamic_cast<const Sq8Codes*>(&other);
  return codes && codes->dim() == dim() && !codes->scales_ == !scales_ &&
         std::equal(vmin_, vmin_ + dim(), codes->vmin_) && std::equal(vdiff_, vdiff_ + dim(), codes->vdiff_);
}

std::unique_ptr<Scorer> Sq8Codes::scorer(Metric metric, const float* /*coarse*/) const {
  if (scales_ && metric != Metric::ip) throw std::invalid_argument("rows with scales have inner products only");
  return std::make_unique<Sq8Scorer>(codes_, vmin_, vdiff_, scales_, dim(), metric);
}

void Sq8Codes::decode(int64_t first, int64_t n, float* out) const {
  const int64_t d = dim();
  for (int64_t i = 0; i < n; ++i) {
    const float scale = scales_ ? scales_[first + i] : 1.0f;
    for (int64_t j = 0; j < d; ++j)
      out[i * d + j] =
          scale * (vmin_[j] + (static_cast<float>(codes_[(first + i) * d + j]) + 0.5f) / 255.0f * vdiff_[j]);
  }
}

}  // namespace cluscomp
