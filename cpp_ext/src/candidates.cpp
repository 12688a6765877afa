#include "cluscomp/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "cluscomp/parallel.h"
#include "leaders.h"

namespace cluscomp {
namespace {

constexpr int64_t kBlockRows = 32;
constexpr int64_t kGrain = 8 * kBlockRows;
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNothing = -kInfinity;

struct Found {
  double value;  // cost + price
  int32_t id;
  float cost;
  bool operator<(const Found& other) const { return value < other.value || (value == other.value && id < other.id); }
};

}  // namespace

struct Candidates::Scratch {
  std::vector<float> raw, centred, bounds, leaders;
  std::vector<int8_t> integers;
  std::vector<int32_t> open;
  std::vector<Found> found;
  float row_terms[4 * kBlockRows], sum_sq[kBlockRows], largest[kBlockRows];
  int32_t row_sum[kBlockRows];

  static Scratch& of_thread(int64_t ld, int64_t width) {
    thread_local Scratch s;
    s.raw.assign(static_cast<size_t>(kBlockRows * ld), 0.0f);
    s.centred.resize(static_cast<size_t>(kBlockRows * ld));
    s.integers.resize(static_cast<size_t>((kBlockRows + 1) * ld));
    s.bounds.resize(static_cast<size_t>(kBlockRows * width));
    s.open.resize(static_cast<size_t>(width));
    return s;
  }
};

Candidates::Candidates(const float* centroids, int64_t k, int64_t d, Metric metric, const double* prices)
    : kern_(kernels()),
      k_(k),
      d_(d),
      ld_(round_up(d, kLanes)),
      integer_(d >= 32 && d <= 32768 && k >= 32),
      prices_(prices, prices + k) {
  const double level = std::accumulate(prices, prices + k, 0.0) / static_cast<double>(k);
  if (!std::isfinite(level)) throw std::invalid_argument("a price is not finite");
  for (double& price : prices_) price -= level;  // only differences count; small numbers round less
  std::vector<float> points(static_cast<size_t>(k * ld_), 0.0f);
  std::vector<double> sum(static_cast<size_t>(ld_), 0.0);
  for (int64_t c = 0; c < k; ++c) {
    std::copy_n(centroids + c * d, d, points.data() + c * ld_);
    kern_.add_f64(sum.data(), points.data() + c * ld_, 1.0, ld_);
  }
  mean_.assign(static_cast<size_t>(ld_), 0.0f);
  for (int64_t j = 0; j < d; ++j) mean_[j] = static_cast<float>(sum[j] / static_cast<double>(k));
  centred_.assign(static_cast<size_t>(k * ld_), 0.0f);
  const double mean_sq = kern_.dot_f64(mean_.data(), mean_.data(), ld_);
  for (int64_t c = 0; c < k; ++c) {
    const float* point = points.data() + c * ld_;
    float sum_sq;
    kern_.centre(point, mean_.data(), centred_.data() + c * ld_, ld_, &sum_sq);
    terms_.push_back(metric == Metric::l2 ? -0.5 * kern_.l2_f64(point, mean_.data(), ld_)
                                          : kern_.dot_f64(point, mean_.data(), ld_) - mean_sq);
    bias_.push_back(terms_[c] - prices_[c]);
    largest_norm_ = std::max(largest_norm_, std::sqrt(sum_sq));
    largest_bias_ =
        std::max({largest_bias_, static_cast<float>(std::fabs(terms_[c])), static_cast<float>(std::fabs(bias_[c]))});
  }
  if (integer_) int_panels_ = pack_int(kern_, kern_.fine, points.data(), k, d, ld_, mean_.data(), bias_.data());
  if (!integer_) float_panels_ = pack_float(kern_, points.data(), k, d, ld_, mean_.data(), bias_.data());
}

void Candidates::bound_rows(const RowsView& x, int64_t begin, int64_t rows, Scratch& s) const {
  const int64_t width = round_up(k_, kLanes), d4 = round_up(d_, 4) / 4;
  const int n_panels = static_cast<int>(width / kLanes);
  load_rows(x, begin, begin + rows, s.raw.data(), ld_);
  for (int64_t r = 0; r < rows; ++r) {
    float* centred = s.centred.data() + r * ld_;
    s.largest[r] = kern_.centre(s.raw.data() + r * ld_, mean_.data(), centred, ld_, &s.sum_sq[r]);
    if (integer_)
      s.row_sum[r] = quantize_row(kern_, kern_.fine, centred, s.largest[r], s.sum_sq[r], d_, ld_,
                                  s.integers.data() + r * d4 * 4, s.row_terms + 4 * r);
  }
  if (integer_) {
    kern_.fine.bounds(s.integers.data(), static_cast<int>(rows), int_panels_.values.data(), int_panels_.terms.data(),
                      s.row_terms, s.row_sum, n_panels, d4, s.bounds.data(), width);
  } else {
    kern_.filter_f32(s.centred.data(), ld_, static_cast<int>(rows), float_panels_.values.data(),
                     float_panels_.bias.data(), n_panels, d_, s.bounds.data(), width);
  }
  for (int64_t r = 0; r < rows; ++r) std::fill_n(s.bounds.data() + r * width + k_, width - k_, kNothing);
}

// Appends the pairs whose bound reaches `least` and, if there is a `done`, not that. NaN bounds nothing, so it reaches
// everything. A cost that is no number, where products overflow, is the worst.
void Candidates::compute(int64_t row, float least, std::optional<float> done, Scratch& s) const {
  const int64_t width = round_up(k_, kLanes);
  const float* x = s.centred.data() + row * ld_;
  const float* bounds = s.bounds.data() + row * width;
  const int64_t n = kern_.select(bounds, width, least, s.open.data());
  for (int64_t i = 0; i < n; ++i) {
    const int32_t c = s.open[i];
    if (c >= k_ || (done && !(bounds[c] < *done))) continue;
    const double dot = static_cast<double>(kern_.dot(x, centred_.data() + c * ld_, RowType::f32, ld_));
    const auto exact = static_cast<float>(-(dot + terms_[c]));
    const float cost = exact == exact ? exact : kInfinity;
    s.found.push_back({static_cast<double>(cost) + prices_[c], c, cost});
  }
}

void Candidates::best_of_row(int64_t row, int64_t length, int32_t* ids, float* costs, Scratch& s) const {
  const float* bounds = s.bounds.data() + row * round_up(k_, kLanes);
  // Between a bound and a computed value lies the rounding of both.
  const float slack = (2 * rounding_slack(d_) + 0x1p-21f) * (std::sqrt(s.sum_sq[row]) * largest_norm_ + largest_bias_);
  s.found.clear();
  const float tau = length < k_ ? reach_of_best(bounds, k_, length, s.leaders) : kNothing;
  compute(row, tau, {}, s);  // at least `length` of them
  std::nth_element(s.found.begin(), s.found.begin() + (length - 1), s.found.end());
  const float needed = static_cast<float>(-s.found[length - 1].value) - slack;
  if (!(needed >= tau)) compute(row, needed, tau, s);
  std::partial_sort(s.found.begin(), s.found.begin() + length, s.found.end());
  for (int64_t i = 0; i < length; ++i) {
    ids[i] = s.found[i].id;
    costs[i] = s.found[i].cost;
  }
}

void Candidates::nearest(const RowsView& x, int64_t length, int32_t* ids, float* costs) const {
  parallel_for(x.n, kGrain, [&](int64_t begin, int64_t end) {
    Scratch& s = Scratch::of_thread(ld_, round_up(k_, kLanes));
    for (int64_t b = begin; b < end; b += kBlockRows) {
      const int64_t rows = std::min(end - b, kBlockRows);
      bound_rows(x, b, rows, s);
      for (int64_t r = 0; r < rows; ++r) best_of_row(r, length, ids + (b + r) * length, costs + (b + r) * length, s);
    }
  });
}

void pair_scores(const RowsView& x, const float* centroids, int64_t d, Metric metric, const int32_t* labels,
                 double* out) {
  const Kernels& kern = kernels();
  parallel_for(x.n, 1024, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(d));
    for (int64_t i = begin; i < end; ++i) {
      load_rows(x, i, i + 1, row.data(), d);
      const float* point = centroids + labels[i] * d;
      out[i] = metric == Metric::l2 ? kern.l2_f64(row.data(), point, d) : kern.dot_f64(row.data(), point, d);
    }
  });
}

}  // namespace cluscomp
