#include "cluscomp/assign.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kBlockRows = 64;   // rows whose bounds are held at once
constexpr int64_t kTileWidth = 512;  // centroids in one tile: 64 x 512 bounds stay in the second-level cache
constexpr int64_t kAhead = 4;        // centroids that are on their way while others are bounded
constexpr int64_t kGrain = 4 * kBlockRows;
static_assert(kGrain == kColumnRows);

Filter choose_filter(const Kernels& kern, int64_t k, int64_t d) {
  if (k <= 4) return Filter::none;
  // A row a lane costs more products than bytes do, and nothing else: measured to be faster up to these sizes.
  if (d <= 40 || (d <= 64 && k <= 512) || (d <= 256 && k < 32)) return Filter::i16;
  // Quantising a row costs about as much as 32 float products with it; the integer sums must fit 31 bits.
  if (d > 32768 || k < 32) return Filter::f32;
  return kern.coarse.bounds == kern.fine.bounds ? Filter::i8 : Filter::i6;
}

// Open pairs a row beyond which the next finer filter is cheaper. A pair decided in float64 costs about 8 pairs of
// the float filter and 20 to 30 of an integer filter; the fine filter costs a third more than the coarse one. One
// dimension that dwarfs the others leaves nearly all pairs open: then only the float filter helps.
int64_t too_many_open(Filter filter, int64_t k) {
  if (filter == Filter::i16) return std::max<int64_t>(2, k / 8);
  if (filter == Filter::prefix) return k / 6;  // a bound from all dimensions of a pair costs as much as 5 of the filter
  return filter == Filter::i6 ? std::max<int64_t>(4, k / 64) : std::max<int64_t>(8, k / 8);
}

}  // namespace

struct Assigner::Best {
  double value = -std::numeric_limits<double>::infinity();  // the objective: larger is better
  double score = 0;                                         // what the caller gets
  int64_t label = -1;
};

// Buffers of one thread, kept between calls: product quantizers make thousands of small ones.
struct Assigner::Scratch {
  std::vector<float> raw, centred, bounds;
  std::vector<int8_t> integers;
  std::vector<int32_t> open;
  std::vector<Best> best = std::vector<Best>(kBlockRows);
  float row_terms[4 * kBlockRows], sum_sq[kBlockRows], largest[kBlockRows], top[kBlockRows], second[kBlockRows];
  double mean_dot[kBlockRows];
  int32_t row_sum[kBlockRows], position[kBlockRows], open_rows[kColumnRows];
  ColumnScratch columns;
  PrefixFilter::Rows prefix;
  int64_t reached = 0;  // pairs of a block that the first bounds left open

  void fit(int64_t d, int64_t ld, int64_t width) {
    grow(raw, kBlockRows * ld);
    if (d != ld) std::fill_n(raw.begin(), kBlockRows * ld, 0.0f);  // the padding of every row must be zero
    grow(centred, kBlockRows * ld);
    grow(integers, (kBlockRows + 1) * ld);
    grow(bounds, kBlockRows * width);
    grow(open, width);
  }
  template <class T>
  static void grow(std::vector<T>& buffer, int64_t size) {
    if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(static_cast<size_t>(size));
  }
  static Scratch& of_thread() {
    thread_local Scratch scratch;
    return scratch;
  }
};

Assigner::Assigner(const float* centroids, int64_t k, int64_t d, Metric metric, const float* bias, Basis basis)
    : kern_(kernels()),
      k_(k),
      d_(d),
      ld_(round_up(d, kLanes)),
      metric_(metric),
      filter_(choose_filter(kern_, k, d)),
      behind_prefix_(filter_) {
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
  if (!basis.values) return;
  const IntFilter& precision = filter_ == Filter::i6 ? kern_.coarse : kern_.fine;
  prefix_.emplace(kern_, precision, basis.values, basis.m, centroids_.data(), k, d, ld_, mean_.data(), terms_.data());
  filter_ = Filter::prefix;
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

void Assigner::make_panels(Filter filter) const {
  const float* points = centroids_.data();
  const auto pack = [&](const IntFilter& precision) {
    return pack_int(kern_, precision, points, k_, d_, ld_, mean_.data(), terms_.data());
  };
  switch (filter) {
    case Filter::none: break;
    case Filter::f32:
      std::call_once(float_once_,
                     [&] { float_panels_ = pack_float(kern_, points, k_, d_, ld_, mean_.data(), terms_.data()); });
      break;
    case Filter::i8: std::call_once(fine_once_, [&] { fine_panels_ = pack(kern_.fine); }); break;
    case Filter::i16:
      std::call_once(column_once_,
                     [&] { column_panels_ = pack_columns(kern_, points, k_, d_, ld_, mean_.data(), terms_.data()); });
      break;
    case Filter::i6: std::call_once(coarse_once_, [&] { coarse_panels_ = pack(kern_.coarse); }); break;
    case Filter::prefix: break;  // made with the object
  }
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
  return static_cast<float>(value - sum_slack - 0x1p-22 * (std::fabs(best.value) + std::fabs(row_term)) - kVanished);
}

void Assigner::prepare_row(int64_t r, Scratch& s) const {
  const float* x = s.raw.data() + r * ld_;
  s.largest[r] = kern_.centre(x, mean_.data(), s.centred.data() + r * ld_, ld_, &s.sum_sq[r]);
  // The row's own term of the inner product, which the filter leaves out: <x', mu> + |mu|^2 = <x, mu>.
  s.mean_dot[r] = metric_ == Metric::ip ? kern_.dot_f64(x, mean_.data(), ld_) : 0.0;
}

// Decides the open pairs of one row among `width` centroids from `first` on; returns how many there were. prefix: has a
// second bound, of all dimensions.
int64_t Assigner::verify_tile(const float* bounds, int64_t row, int64_t first, int64_t width, float slack, Best& best,
                              Scratch& s, const PrefixFilter* prefix) const {
  const int64_t padded = round_up(width, kLanes);
  const float* x = s.raw.data() + row * ld_;
  int64_t tried = -1, decided = 0;
  if (best.label < 0) {
    kern_.max_score(bounds, padded, &tried);
    tried = std::min(tried, width - 1);
    consider(x, first + tried, best);
    ++decided;
  }
  float limit = threshold(best, s.sum_sq[row], s.mean_dot[row]) - slack;
  const int64_t open = kern_.select(bounds, padded, limit, s.open.data());
  s.reached += open;
  const auto send_for = [&](int64_t i) {
    if (prefix && i < open && s.open[i] < width) prefix->prefetch(first + s.open[i]);
  };
  for (int64_t i = 0; i < kAhead; ++i) send_for(i);
  for (int64_t i = 0; i < open; ++i) {
    const int64_t c = s.open[i];
    send_for(i + kAhead);
    if (c == tried || c >= width || first + c == best.label || bounds[c] < limit) continue;
    if (prefix && prefix->whole_bound(s.prefix, row, first + c) < limit) continue;
    const double before = best.value;
    consider(x, first + c, best);
    ++decided;
    if (best.value > before) limit = threshold(best, s.sum_sq[row], s.mean_dot[row]) - slack;
  }
  return decided;
}

int64_t Assigner::verify_all(int64_t rows, Scratch& s) const {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < k_; ++c) consider(s.raw.data() + r * ld_, c, s.best[r]);
  return rows * k_;
}

// A row whose two largest float scores differ by more than their rounding is settled; the others are looked at again.
int64_t Assigner::verify_f32(int64_t rows, bool with_scores, Scratch& s) const {
  const FloatPanels& panels = float_panels_;
  const int n_panels = static_cast<int>(round_up(k_, kLanes) / kLanes);
  int64_t decided = 0;
  for (int64_t r = 0; r < rows; ++r) prepare_row(r, s);
  kern_.top2_f32(s.centred.data(), ld_, static_cast<int>(rows), panels.values.data(), panels.bias.data(), n_panels, d_,
                 s.top, s.position, s.second);
  for (int64_t r = 0; r < rows; ++r) {
    const float norm = std::sqrt(s.sum_sq[r]) + vanished_norm(d_);
    const float slack =
        rounding_slack(d_) * (norm * panels.largest_norm + panels.largest_bias) + static_cast<float>(kVanished);
    if (s.second[r] < s.top[r] - 3 * slack) {
      s.best[r].label = s.position[r];
      if (!with_scores) continue;
      s.best[r].label = -1;
      consider(s.raw.data() + r * ld_, s.position[r], s.best[r]);
      ++decided;
      continue;
    }
    Scratch::grow(s.bounds, n_panels * kLanes);
    Scratch::grow(s.open, n_panels * kLanes);
    kern_.filter_f32(s.centred.data() + r * ld_, ld_, 1, panels.values.data(), panels.bias.data(), n_panels, d_,
                     s.bounds.data(), n_panels * kLanes);
    decided += verify_tile(s.bounds.data(), r, 0, k_, 2 * slack, s.best[r], s);
  }
  return decided;
}

int64_t Assigner::verify_int(const IntFilter& filter, const IntPanels& panels, int64_t rows, Scratch& s) const {
  const int64_t d4 = round_up(d_, 4) / 4, width = std::min(round_up(k_, kLanes), kTileWidth);
  int64_t decided = 0;
  for (int64_t r = 0; r < rows; ++r) {
    prepare_row(r, s);
    s.row_sum[r] = quantize_row(kern_, filter, s.centred.data() + r * ld_, s.largest[r], s.sum_sq[r], d_, ld_,
                                s.integers.data() + r * d4 * 4, s.row_terms + 4 * r);
  }
  for (int64_t first = 0; first < k_; first += width) {
    const int64_t here = std::min(width, k_ - first), panel = first / kLanes;
    filter.bounds(s.integers.data(), static_cast<int>(rows), panels.values.data() + panel * d4 * 4 * kLanes,
                  panels.terms.data() + panel * 4 * kLanes, s.row_terms, s.row_sum,
                  static_cast<int>(round_up(here, kLanes) / kLanes), d4, s.bounds.data(), width);
    for (int64_t r = 0; r < rows; ++r)
      decided += verify_tile(s.bounds.data() + r * width, r, first, here, 0.0f, s.best[r], s);
  }
  return decided;
}

int64_t Assigner::verify_prefix(int64_t rows, Scratch& s) const {
  const int64_t width = std::min(round_up(k_, kLanes), kTileWidth);
  int64_t decided = 0;
  for (int64_t r = 0; r < rows; ++r) prepare_row(r, s);
  prefix_->prepare(s.centred.data(), s.largest, s.sum_sq, rows, s.prefix);
  s.reached = 0;
  for (int64_t first = 0; first < k_; first += width) {
    const int64_t here = std::min(width, k_ - first);
    prefix_->bounds(s.prefix, rows, first, here, width);
    for (int64_t r = 0; r < rows; ++r)
      decided += verify_tile(s.prefix.bounds.data() + r * width, r, first, here, 0.0f, s.best[r], s, &*prefix_);
  }
  return decided;
}

int64_t Assigner::assign_block(const RowsView& x, int64_t begin, int64_t end, Filter filter, const int32_t* hints,
                               int32_t* labels, float* scores, Scratch& s) const {
  const int64_t rows = end - begin;
  load_rows(x, begin, end, s.raw.data(), ld_);
  for (int64_t r = 0; r < rows; ++r) {
    s.best[r] = {};
    if (hints && (filter == Filter::i8 || filter == Filter::i6 || filter == Filter::prefix))
      consider(s.raw.data() + r * ld_, hints[begin + r], s.best[r]);
  }
  int64_t decided = 0;
  switch (filter) {
    case Filter::none: decided = verify_all(rows, s); break;
    case Filter::f32: decided = verify_f32(rows, scores != nullptr, s); break;
    case Filter::i8: decided = verify_int(kern_.fine, fine_panels_, rows, s); break;
    case Filter::i6: decided = verify_int(kern_.coarse, coarse_panels_, rows, s); break;
    case Filter::prefix: decided = verify_prefix(rows, s); break;
    case Filter::i16: break;  // assign_short_rows
  }
  for (int64_t r = 0; r < rows; ++r) {
    labels[begin + r] = static_cast<int32_t>(s.best[r].label);
    if (scores) scores[begin + r] = static_cast<float>(s.best[r].score);
  }
  return decided;
}

// At most kColumnRows rows: the 16-bit filter settles nearly all, the float filter the others.
int64_t Assigner::assign_short_rows(const RowsView& x, int64_t begin, int64_t end, int32_t* labels, float* scores,
                                    Scratch& s) const {
  const int64_t rows = end - begin, padded = round_up(rows, kLanes);
  const bool direct = x.type == RowType::f32 && d_ % 4 == 0 && rows == padded;
  const float* block = static_cast<const float*>(x.row(begin));
  int64_t stride = x.stride_in_elements;
  if (!direct) {
    stride = round_up(d_, 4);
    s.columns.raw.assign(static_cast<size_t>(padded * stride), 0.0f);
    load_rows(x, begin, end, s.columns.raw.data(), stride);
    block = s.columns.raw.data();
  }
  int64_t open = 0;
  const ColumnOutcome outcome = assign_columns(kern_, column_panels_, block, stride, rows, k_, d_, mean_.data(),
                                               labels + begin, s.open_rows, &open, s.columns);
  if (outcome == ColumnOutcome::out_of_range)
    for (; open < rows; ++open) s.open_rows[open] = static_cast<int32_t>(open);
  if (scores)
    for (int64_t r = 0; r < rows && open < rows; ++r) {
      const float* point = centroids_.data() + labels[begin + r] * ld_;
      const float* row = block + r * stride;
      const double score = metric_ == Metric::l2 ? kern_.l2_f64(row, point, d_) : kern_.dot_f64(row, point, d_);
      scores[begin + r] = static_cast<float>(score);
    }
  return decide_open_rows(x, begin, s.open_rows, open, labels, scores, s);
}

// The float filter for the rows that another filter left open; returns the number of pairs decided.
int64_t Assigner::decide_open_rows(const RowsView& x, int64_t begin, const int32_t* open, int64_t count,
                                   int32_t* labels, float* scores, Scratch& s) const {
  if (count == 0) return 0;
  make_panels(Filter::f32);
  int64_t decided = 0;
  for (int64_t at = 0; at < count; at += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, count - at);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t i = begin + open[at + r];
      load_rows(x, i, i + 1, s.raw.data() + r * ld_, ld_);
      s.best[r] = {};
    }
    decided += verify_f32(rows, scores != nullptr, s);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t i = begin + open[at + r];
      labels[i] = static_cast<int32_t>(s.best[r].label);
      if (scores) scores[i] = static_cast<float>(s.best[r].score);
    }
  }
  return decided + count;
}

int64_t Assigner::assign(const RowsView& x, const int32_t* hints, int32_t* labels, float* scores) const {
  std::atomic<Filter> filter{filter_};
  std::atomic<int64_t> total{0};
  make_panels(filter_);
  parallel_for(x.n, kGrain, [&](int64_t begin, int64_t end) {
    Scratch& scratch = Scratch::of_thread();
    scratch.fit(d_, ld_, std::min(round_up(k_, kLanes), kTileWidth));
    for (int64_t b = begin, stop; b < end; b = stop) {
      Filter now = filter.load();
      stop = std::min(end, b + (now == Filter::i16 ? kColumnRows : kBlockRows));
      const int64_t decided = now == Filter::i16 ? assign_short_rows(x, b, stop, labels, scores, scratch)
                                                 : assign_block(x, b, stop, now, hints, labels, scores, scratch);
      total.fetch_add(decided);
      if (k_ * d_ > (1 << 20)) check_interrupt();  // a piece of wide rows and many centroids takes seconds
      const bool integer = now == Filter::i6 || now == Filter::i8 || now == Filter::i16 || now == Filter::prefix;
      const int64_t open = now == Filter::prefix ? scratch.reached : decided;
      if (integer && open > too_many_open(now, k_) * (stop - b)) {
        const Filter finer = now == Filter::prefix ? behind_prefix_ : now == Filter::i6 ? Filter::i8 : Filter::f32;
        make_panels(finer);
        filter.compare_exchange_strong(now, finer);  // unless another thread has gone further already
      }
    }
  });
  return total.load();
}

}  // namespace cluscomp
