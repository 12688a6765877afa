#include "cluscomp/assign.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kBlockRows = 64;    // rows whose bounds are held at once
constexpr int64_t kTileWidth = 512;   // centroids in one tile: 64 x 512 bounds stay in the second-level cache
constexpr int64_t kGrain = 4 * kBlockRows;

Filter choose_filter(int64_t k, int64_t d) {
  if (k <= 4) return Filter::none;
  // Quantising a row costs about as much as 32 float products with it; the integer sums must fit 31 bits.
  return d >= 32 && d <= 32768 && k >= 32 ? Filter::i8 : Filter::f32;
}

}  // namespace

struct Assigner::Best {
  double value = -std::numeric_limits<double>::infinity();  // the objective: larger is better
  double score = 0;                                         // what the caller gets
  int64_t label = -1;
};

struct Assigner::Scratch {
  std::vector<float> raw, centred, bounds, row_terms, sum_sq, slack;
  std::vector<double> mean_dot;
  std::vector<int8_t> integers;
  std::vector<int32_t> row_sum, open;
  std::vector<Best> best;

  Scratch(int64_t ld, int64_t k) {
    const int64_t width = std::min(round_up(k, kLanes), kTileWidth);
    raw.resize(static_cast<size_t>(kBlockRows * ld));
    centred.resize(static_cast<size_t>(kBlockRows * ld));
    bounds.resize(static_cast<size_t>(kBlockRows * width));
    integers.resize(static_cast<size_t>((kBlockRows + 1) * ld));
    row_terms.resize(4 * kBlockRows);
    sum_sq.resize(kBlockRows);
    slack.resize(kBlockRows);
    mean_dot.resize(kBlockRows);
    row_sum.resize(kBlockRows);
    open.resize(static_cast<size_t>(width));
    best.resize(kBlockRows);
  }
};

Assigner::Assigner(const float* centroids, int64_t k, int64_t d, Metric metric, const float* bias)
    : kern_(kernels()), k_(k), d_(d), ld_(round_up(d, kLanes)), metric_(metric), filter_(choose_filter(k, d)) {
  centroids_.assign(static_cast<size_t>(k * ld_), 0.0f);
  mean_.assign(static_cast<size_t>(ld_), 0.0f);
  bias_.assign(static_cast<size_t>(k), 0.0);
  std::vector<double> sum(static_cast<size_t>(ld_), 0.0);
  for (int64_t c = 0; c < k; ++c) {
    std::copy_n(centroids + c * d, d, centroids_.data() + c * ld_);
    kern_.add_f64(sum.data(), centroids_.data() + c * ld_, 1.0, ld_);
    if (bias) bias_[c] = static_cast<double>(bias[c]);
  }
  for (int64_t j = 0; j < d; ++j) mean_[j] = static_cast<float>(sum[j] / static_cast<double>(k));
  set_terms();
}

void Assigner::set_terms() {
  terms_.resize(static_cast<size_t>(k_));
  const double mean_sq = kern_.dot_f64(mean_.data(), mean_.data(), ld_);
  parallel_for(k_, 256, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const float* point = centroids_.data() + c * ld_;
      terms_[c] = bias_[c] + (metric_ == Metric::l2 ? -0.5 * kern_.l2_f64(point, mean_.data(), ld_)
                                                    : kern_.dot_f64(point, mean_.data(), ld_) - mean_sq);
    }
  });
}

const FloatPanels& Assigner::float_panels() const {
  std::call_once(float_once_, [&] {
    float_panels_ = pack_float(kern_, centroids_.data(), k_, d_, ld_, mean_.data(), terms_.data());
  });
  return float_panels_;
}

const IntPanels& Assigner::int_panels() const {
  std::call_once(int_once_, [&] {
    int_panels_ = pack_int(kern_, centroids_.data(), k_, d_, ld_, mean_.data(), terms_.data());
  });
  return int_panels_;
}

void Assigner::consider(const float* x, int64_t c, Best& best) const {
  const float* point = centroids_.data() + c * ld_;
  const double score = metric_ == Metric::l2 ? kern_.l2_f64(x, point, ld_) : kern_.dot_f64(x, point, ld_);
  const double value = (metric_ == Metric::l2 ? -0.5 * score : score) + bias_[c];
  if (value > best.value || (value == best.value && c < best.label) || best.label < 0) best = {value, score, c};
}

// The largest float that no better pair's bound can be below: the best objective so far, seen from the filter's
// side (which lacks the terms that depend on the row alone), less the rounding of what is used here.
float Assigner::threshold(const Best& best, float row_sq, double row_dot) const {
  const double row_term = metric_ == Metric::l2 ? 0.5 * static_cast<double>(row_sq) : -row_dot;
  const double sum_slack = metric_ == Metric::l2 ? static_cast<double>(rounding_slack(d_) * row_sq) : 0.0;
  const double value = best.value + row_term;
  return static_cast<float>(value - sum_slack - 0x1p-22 * (std::fabs(best.value) + std::fabs(row_term)));
}

void Assigner::prepare_rows(Filter filter, int64_t rows, Scratch& s) const {
  const int64_t d4 = round_up(d_, 4) / 4;
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = s.raw.data() + r * ld_;
    float* centred = s.centred.data() + r * ld_;
    const float largest = kern_.centre(x, mean_.data(), centred, ld_, &s.sum_sq[r]);
    // |x - mean|^2 = <x, x> - ...; the inner product needs <x', mu> + |mu|^2 = <x, mu> for the rows' own term
    s.mean_dot[r] = metric_ == Metric::ip ? kern_.dot_f64(x, mean_.data(), ld_) : 0.0;
    if (filter == Filter::i8) {
      s.row_sum[r] = quantize_row(kern_, centred, largest, s.sum_sq[r], d_, ld_, s.integers.data() + r * d4 * 4,
                                  s.row_terms.data() + 4 * r);
      s.slack[r] = 0;  // the bounds carry their own
    } else {
      const FloatPanels& panels = float_panels_;
      s.slack[r] = 2 * rounding_slack(d_) * (std::sqrt(s.sum_sq[r]) * panels.largest_norm + panels.largest_bias);
    }
  }
}

// Decides the open pairs of one row and one tile; returns how many there were.
int64_t Assigner::verify_tile(Filter filter, int64_t row, int64_t first, int64_t width, Best& best, Scratch& s) const {
  const int64_t padded = round_up(width, kLanes);
  const float* bounds = s.bounds.data() + row * std::min(round_up(k_, kLanes), kTileWidth);
  const float* x = s.raw.data() + row * ld_;
  int64_t tried = -1, decided = 0;
  if (best.label < 0) {
    kern_.max_score(bounds, padded, &tried);
    tried = std::min(tried, width - 1);
    consider(x, first + tried, best);
    ++decided;
  }
  const float limit = threshold(best, s.sum_sq[row], s.mean_dot[row]) - s.slack[row];
  const int64_t open = kern_.select(bounds, padded, limit, s.open.data());
  for (int64_t i = 0; i < open; ++i) {
    const int64_t c = s.open[i];
    if (c == tried || c >= width || first + c == best.label) continue;
    // The best value may have risen since the selection.
    if (filter == Filter::i8 && i > 4 && bounds[c] < threshold(best, s.sum_sq[row], s.mean_dot[row])) continue;
    consider(x, first + c, best);
    ++decided;
  }
  return decided;
}

int64_t Assigner::assign_block(const RowsView& x, int64_t begin, int64_t end, Filter filter, const int32_t* hints,
                               int32_t* labels, float* scores, Scratch& s) const {
  const int64_t rows = end - begin, width = std::min(round_up(k_, kLanes), kTileWidth);
  if (ld_ != d_) std::fill(s.raw.begin(), s.raw.end(), 0.0f);
  load_rows(x, begin, end, s.raw.data(), ld_);
  int64_t decided = 0;
  for (int64_t r = 0; r < rows; ++r) {
    s.best[r] = {};
    if (hints) consider(s.raw.data() + r * ld_, hints[begin + r], s.best[r]);
  }
  if (filter == Filter::none) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < k_; ++c) consider(s.raw.data() + r * ld_, c, s.best[r]);
  } else {
    prepare_rows(filter, rows, s);
    const int64_t d4 = round_up(d_, 4) / 4;
    for (int64_t first = 0; first < k_; first += width) {
      const int64_t here = std::min(width, k_ - first), panel = first / kLanes;
      const int n_panels = static_cast<int>(round_up(here, kLanes) / kLanes);
      if (filter == Filter::i8) {
        kern_.filter_i8(s.integers.data(), static_cast<int>(rows), int_panels_.values.data() + panel * d4 * 4 * kLanes,
                        int_panels_.terms.data() + panel * 4 * kLanes, s.row_terms.data(), s.row_sum.data(), n_panels,
                        d4, s.bounds.data(), width);
      } else {
        kern_.filter_f32(s.centred.data(), ld_, static_cast<int>(rows), float_panels_.values.data() + panel * d_ * kLanes,
                         float_panels_.bias.data() + panel * kLanes, n_panels, d_, s.bounds.data(), width);
      }
      for (int64_t r = 0; r < rows; ++r) decided += verify_tile(filter, r, first, here, s.best[r], s);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    labels[begin + r] = static_cast<int32_t>(s.best[r].label);
    if (scores) scores[begin + r] = static_cast<float>(s.best[r].score);
  }
  return decided;
}

int64_t Assigner::assign(const RowsView& x, const int32_t* hints, int32_t* labels, float* scores) const {
  std::atomic<int> filter{static_cast<int>(filter_)};
  std::atomic<int64_t> total{0};
  if (filter_ == Filter::i8) int_panels();
  if (filter_ == Filter::f32) float_panels();
  // Where the integers are too coarse (one dimension dwarfs the others) nearly every pair stays open. A pair decided
  // in float64 costs about 8 pairs of the float filter, so past k / 8 open pairs a row the float filter takes over.
  const int64_t too_many = std::max<int64_t>(8, k_ / 8);
  parallel_for(x.n, kGrain, [&](int64_t begin, int64_t end) {
    Scratch scratch(ld_, k_);
    for (int64_t b = begin; b < end; b += kBlockRows) {
      const int64_t stop = std::min(end, b + kBlockRows);
      const Filter now = static_cast<Filter>(filter.load(std::memory_order_relaxed));
      const int64_t decided = assign_block(x, b, stop, now, hints, labels, scores, scratch);
      total.fetch_add(decided, std::memory_order_relaxed);
      if (now == Filter::i8 && decided > too_many * (stop - b)) {
        float_panels();
        filter.store(static_cast<int>(Filter::f32), std::memory_order_relaxed);
      }
    }
  });
  return total.load();
}

}  // namespace cluscomp
