#include "ward_gram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "cluscomp/pack.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kAlone = 1024;  // a run of so many rows shares its products among threads
constexpr float kLargest = 32767;
constexpr float kUp = 1 + 0x1p-18f;   // covers the rounding of a few float32 operations
constexpr int64_t kComparisons = 16;  // float64 comparisons a row that are cheaper than all float64 distances

}  // namespace

bool GramWard::run(const RowsView& x, int64_t begin, int64_t end, int32_t* merges, double* heights) {
  if (!prepare(x, begin, end)) return false;
  double height = 0;
  for (int64_t left = n_; left > 1; --left) {
    check_interrupt();
    const Pair best = cheapest();
    if (comparisons_left_ < 0) return false;
    height = std::max(height, best.square);  // rounding may lower a height by its last bit
    *merges++ = origin_[best.a];
    *merges++ = origin_[best.b];
    *heights++ = std::sqrt(height);
    merge(best.a, best.b);
    if (left > 2 * kLanes && left - 1 <= left_ / 2) compact();
  }
  return true;
}

// ---- rows to products ----

bool GramWard::prepare(const RowsView& x, int64_t begin, int64_t end) {
  kern_ = &kernels();
  n_ = end - begin;
  d_ = x.d;
  row_ld_ = round_up(d_, kLanes);
  ld_ = stride_ = round_up(n_, kLanes);
  if (stride_ % 64 == 0) stride_ += kLanes;  // columns are written: a power of two would send them to a few cache sets
  comparisons_left_ = kComparisons * n_;
  load(x, begin, end);
  if (!round()) return false;
  multiply();
  mirror();
  start();
  return true;
}

void GramWard::load(const RowsView& x, int64_t begin, int64_t end) {
  const int64_t padded = round_up(n_, kLanes);
  rows_.resize(static_cast<size_t>(padded * row_ld_));
  load_rows(x, begin, end, rows_.data(), row_ld_);
  shift_.assign(static_cast<size_t>(row_ld_), 0.0f);
  for (int64_t i = 0; i < n_; ++i) {
    check_interrupt();
    std::fill(rows_.data() + i * row_ld_ + d_, rows_.data() + (i + 1) * row_ld_, 0.0f);
    kern_->ward.add_f32(shift_.data(), rows_.data() + i * row_ld_, row_ld_);
  }
  for (float& value : shift_) value /= static_cast<float>(n_);
  for (int64_t i = n_; i < padded; ++i) std::copy(shift_.begin(), shift_.end(), rows_.data() + i * row_ld_);
}

// False where lengths are no use: all rows equal, squares that vanish or overflow.
bool GramWard::round() {
  const int64_t groups = round_up(n_, kLanes) / kLanes, d4 = round_up(d_, 4), pairs = d4 / 2;
  columns_.resize(static_cast<size_t>(groups * d4 * kLanes));
  norms_.resize(static_cast<size_t>(groups * kLanes));
  const float largest =
      kern_->columns_f32(rows_.data(), row_ld_, groups, shift_.data(), d4, columns_.data(), norms_.data());
  if (!(largest > 1e-28f && largest < 1e30f)) return false;
  const float root = std::sqrt(static_cast<float>(d_));
  if (root > kLargest / 2) return false;
  scale_ = (kLargest - root) / (std::sqrt(largest) * kUp);  // |rounded row| stays below 2^15, and products below 2^30
  rounded_.resize(static_cast<size_t>(groups * pairs * kLanes));
  float worst = 0;
  for (int64_t g = 0; g < groups; ++g) {
    check_interrupt();
    kern_->ward.round_columns(columns_.data() + g * d4 * kLanes, d4, pairs, scale_,
                              rounded_.data() + g * pairs * kLanes, norms_.data() + g * kLanes);
    for (int l = 0; l < kLanes; ++l) worst = std::max(worst, norms_[g * kLanes + l]);
  }
  // the sum of squares, and what centring and scaling in float32 lose of a row that is shorter than 2^15
  const float lost = std::sqrt(worst) * (1 + static_cast<float>(d_) * 0x1p-23f) + 0.01f;
  tolerance_ = 2 * lost * kUp;  // of the distance of two means
  return true;
}

void GramWard::multiply() {
  const int64_t groups = round_up(n_, kLanes) / kLanes, pairs = round_up(d_, 4) / 2;
  products_.resize(static_cast<size_t>(groups * kLanes * stride_));
  const auto body = [&](int64_t begin, int64_t end) {
    for (int64_t column = begin; column < end; ++column)
      for (int64_t row = 0; row <= column; ++row)
        kern_->ward.gram_i16(rounded_.data() + row * pairs * kLanes, rounded_.data() + column * pairs * kLanes, pairs,
                             products(row * kLanes) + column * kLanes, stride_);
  };
  if (n_ < kAlone) {
    body(0, groups);
  } else {
    parallel_for(groups, 1, body);
  }
}

// Below the diagonal as above; the diagonal moves to squares_.
void GramWard::mirror() {
  const int64_t padded = round_up(n_, kLanes);
  squares_.resize(static_cast<size_t>(n_));
  for (int64_t r = 0; r < padded; r += kLanes) {
    check_interrupt();
    for (int64_t c = 0; c < r; c += kLanes)
      for (int64_t i = r; i < r + kLanes; ++i)
        for (int64_t j = c; j < c + kLanes; ++j) products(i)[j] = products(j)[i];
  }
  for (int64_t i = 0; i < n_; ++i) squares_[i] = std::exchange(products(i)[i], -kInfinity);
}

void GramWard::start() {
  powers_.assign(static_cast<size_t>(ld_), kInfinity);
  sizes_.assign(static_cast<size_t>(ld_), 1.0f);
  slack_.assign(static_cast<size_t>(ld_), std::sqrt(2.0f) * tolerance_ * kUp);
  nearest_.assign(static_cast<size_t>(ld_), kInfinity);
  second_.resize(static_cast<size_t>(n_));
  neighbour_.resize(static_cast<size_t>(n_));
  version_.assign(static_cast<size_t>(n_), 0);
  seen_.resize(static_cast<size_t>(n_));
  limits_.resize(static_cast<size_t>(ld_));
  heights_.resize(static_cast<size_t>(ld_));
  found_.resize(static_cast<size_t>(ld_));
  alive_.resize(static_cast<size_t>(n_));
  origin_.resize(static_cast<size_t>(n_));
  left_ = n_;
  depths_.assign(static_cast<size_t>(n_), 0);
  storage_.resize(static_cast<size_t>((n_ / 2) * row_ld_));
  sums_.assign(static_cast<size_t>(n_), nullptr);
  free_.clear();
  for (int64_t i = n_ / 2; i-- > 0;) free_.push_back(storage_.data() + i * row_ld_);
  for (int64_t i = 0; i < n_; ++i) {
    powers_[i] = power(i);
    alive_[i] = origin_[i] = static_cast<int32_t>(i);
  }
  for (int64_t i = 0; i < n_; ++i) {
    check_interrupt();
    kern_->ward.single_heights(products(i), clusters(), powers_[i], heights_.data(), &nearest_[i], &neighbour_[i],
                               &second_[i]);
    seen_[i] = 0;
  }
}

// ---- the cheapest pair ----

void GramWard::scan(int64_t row) {
  kern_->ward.heights(products(row), clusters(), sizes_[row], powers_[row], heights_.data(), &nearest_[row],
                      &neighbour_[row], &second_[row]);
  seen_[row] = version_[neighbour_[row]];
}

// Whether the row had to be scanned again. Heights above a cluster never fall when others merge, so what a row knew
// bounds them from below even when its neighbour is gone.
bool GramWard::refresh(int64_t row) {
  if (seen_[row] == version_[neighbour_[row]]) return false;
  scan(row);
  return true;
}

GramWard::Pair GramWard::cheapest() {
  int64_t row;
  do {
    kern_->ward.smallest(nearest_.data(), ld_, &row);
  } while (refresh(row));
  const int64_t column = neighbour_[row];
  Pair best{std::min(row, column), std::max(row, column), exact(row, column)};
  if (best.square == 0) return best;
  const float root = static_cast<float>(std::sqrt(best.square) * static_cast<double>(scale_)) * kUp;
  kern_->ward.limits(slack_.data(), ld_, root, limits_.data());
  const int64_t count = kern_->select_below(nearest_.data(), limits_.data(), left_, found_.data());
  for (int64_t i = 0; i < count; ++i) consider(found_[i], root, best);
  return best;
}

// Looks through the pairs of a row that may be cheaper than `best`. Each such pair is below the limits of both its
// rows, so it is enough to look at it from the first of them.
void GramWard::consider(int64_t row, float root, Pair& best) {
  if (refresh(row) && !(nearest_[row] < limits_[row])) return;
  if (second_[row] >= limits_[row]) {
    offer(row, neighbour_[row], nearest_[row], root, best);
    return;
  }
  scan(row);
  for (int64_t column = row + 1; column < left_; ++column)
    if (heights_[column] < limits_[row]) offer(row, column, heights_[column], root, best);
}

void GramWard::offer(int64_t row, int64_t column, float height, float root, Pair& best) {
  if (column < row || (row == best.a && column == best.b)) return;
  const float weight = std::sqrt(2 * sizes_[row] * sizes_[column] / (sizes_[row] + sizes_[column]));
  const float limit = root + weight * tolerance_ * kUp;
  if (height >= limit * limit) return;
  --comparisons_left_;
  const double square = exact(row, column);
  if (square < best.square || (square == best.square && std::pair(row, column) < std::pair(best.a, best.b)))
    best = {row, column, square};
}

// 2 |A| |B| / (|A| + |B|) |mean A - mean B|^2 without a division before the difference: that of equal rows is 0.
double GramWard::exact(int64_t a, int64_t b) {
  if (sums_[a] == nullptr) std::swap(a, b);
  if (sums_[a] == nullptr) return kern_->l2_f64(row_of(a), row_of(b), d_);
  const double na = sizes_[a], nb = sizes_[b];
  const double sum = sums_[b] == nullptr ? kern_->ward.weighted_l2_row(sums_[a], nb, row_of(b), na, row_ld_)
                                         : kern_->ward.weighted_l2(sums_[a], nb, sums_[b], na, row_ld_);
  return 2 * sum / (na * nb * (na + nb));
}

// ---- merging ----

// b stands for both.
void GramWard::merge(int64_t a, int64_t b) {
  merge_sums(a, b);
  squares_[b] += squares_[a] + 2 * products(a)[b];
  sizes_[b] += sizes_[a];
  kern_->ward.add_f32(products(b), products(a), ld_);
  products(b)[b] = -kInfinity;
  depths_[b] = std::max(depths_[a], depths_[b]) + 1;
  powers_[b] = power(b);
  slack_[b] = std::sqrt(2 * sizes_[b]) * tolerance_ * kUp;
  powers_[a] = nearest_[a] = kInfinity;
  ++version_[a];
  ++version_[b];
  alive_.erase(std::lower_bound(alive_.begin(), alive_.end(), static_cast<int32_t>(a)));
  const float* row = products(b);
  float* column = products_.data() + b;
  for (const int32_t i : alive_) column[i * stride_] = row[i];
  scan(b);
}

// |sum|^2 / size, less what rounding can have added to a height. A product of two sums is rounded when it is made and
// at every merge of its rows, each time by 2^-24 of at most |A| |B| 2^30, and so is a square; what a height is made of
// is rounded some times more. Shares of both clusters add up to a bound for the pair.
float GramWard::power(int64_t cluster) const {
  const float size = sizes_[cluster];
  return squares_[cluster] / size - static_cast<float>(4 * depths_[cluster] + 14) * 0x1p6f * size;
}

void GramWard::merge_sums(int64_t a, int64_t b) {
  double* const one = std::exchange(sums_[a], nullptr);
  double*& sum = sums_[b];
  if (one != nullptr && sum != nullptr) {
    kern_->ward.add_f64(sum, one, row_ld_);
    free_.push_back(one);
  } else if (one != nullptr || sum != nullptr) {
    const float* row = row_of(one != nullptr ? b : a);
    if (one != nullptr) sum = one;
    kern_->add_f64(sum, row, 1.0, row_ld_);
  } else {
    sum = free_.back();
    free_.pop_back();
    kern_->ward.add_rows(sum, row_of(a), row_of(b), row_ld_);
  }
}

// Moves the clusters that are left together, in order, so that rows are shorter.
void GramWard::compact() {
  std::vector<int32_t> place(static_cast<size_t>(left_), -1);
  const auto count = static_cast<int64_t>(alive_.size());
  for (int64_t i = 0; i < count; ++i) place[alive_[i]] = static_cast<int32_t>(i);
  for (int64_t i = 0; i < count; ++i) {
    check_interrupt();
    const int64_t from = alive_[i];
    const float* row = products(from);
    float* out = products(i);
    for (int64_t j = 0; j < count; ++j) out[j] = row[alive_[j]];
    powers_[i] = powers_[from];
    sizes_[i] = sizes_[from];
    squares_[i] = squares_[from];
    depths_[i] = depths_[from];
    slack_[i] = slack_[from];
    nearest_[i] = nearest_[from];
    second_[i] = second_[from];
    sums_[i] = sums_[from];
    origin_[i] = origin_[from];
    version_[i] = version_[from];
    const int32_t neighbour = place[neighbour_[from]];
    seen_[i] = neighbour < 0 ? -1 : seen_[from];  // -1 is no version: the row is scanned when it is looked at
    neighbour_[i] = std::max(neighbour, 0);
  }
  left_ = count;
  ld_ = round_up(count, kLanes);
  for (int64_t i = count; i < ld_; ++i) {
    powers_[i] = nearest_[i] = kInfinity;
    sizes_[i] = 1;
  }
  for (int64_t i = 0; i < count; ++i) alive_[i] = static_cast<int32_t>(i);
}

}  // namespace cluscomp
