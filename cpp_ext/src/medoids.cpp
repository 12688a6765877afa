#include "cluscomp/medoids.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kTile = 32;       // rows of a tile of distances: two tiles of 384 dims stay in the L2 cache
constexpr int64_t kPoints = 4096;   // points of one piece of an update
constexpr int64_t kAlone = 4;       // candidates scored before other threads are woken
constexpr int64_t kCandidates = 8;  // candidates of one piece
constexpr float kFar = std::numeric_limits<float>::infinity();

}  // namespace

void squared_distances(const RowsView& x, int64_t begin, int64_t end, float* out) {
  const Kernels& kern = kernels();
  const int64_t first = begin / kTile, tiles = (end - 1) / kTile + 1 - first;
  parallel_for(tiles, 1, [&](int64_t from, int64_t to) {
    std::vector<float> left(static_cast<size_t>(kTile * x.d)), right(left);
    for (int64_t tile = first + from; tile < first + to; ++tile) {
      const int64_t i0 = std::max(begin, tile * kTile), i1 = std::min(end, (tile + 1) * kTile);
      load_rows(x, i0, i1, left.data(), x.d);
      for (int64_t j0 = 0; j0 < i1; j0 += kTile) {
        const int64_t j1 = std::min(i1, j0 + kTile);
        load_rows(x, j0, j1, right.data(), x.d);
        for (int64_t i = i0; i < i1; ++i)
          for (int64_t j = j0; j < std::min(j1, i + 1); ++j)
            out[i * x.n + j] = out[j * x.n + i] =
                kern.l2(left.data() + (i - i0) * x.d, right.data() + (j - j0) * x.d, RowType::f32, x.d);
      }
    }
  });
}

MedoidSearch::MedoidSearch(const float* matrix, int64_t n, const int64_t* medoids, int64_t k)
    : matrix_(matrix), n_(n), medoids_(medoids, medoids + k) {
  const auto points = static_cast<size_t>(n);
  is_medoid_.assign(points, 0);
  near_.resize(points);
  second_.resize(points);
  near_d_.resize(points);
  second_d_.resize(points);
  for (int64_t m : medoids_) is_medoid_[m] = 1;
  parallel_for(n_, kPoints, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) choose(i);
  });
  sum_up();
}

void MedoidSearch::choose(int64_t point) {
  float best = kFar;
  int32_t slot = 0;
  for (int32_t s = 0; s < k(); ++s) {
    const float d = row(medoids_[s])[point];
    if (d < best) {
      best = d;
      slot = s;
    }
  }
  near_[point] = slot;
  near_d_[point] = best;
  find_second(point);
}

void MedoidSearch::find_second(int64_t point) {
  float best = kFar;
  int32_t slot = -1;
  for (int32_t s = 0; s < k(); ++s) {
    const float d = row(medoids_[s])[point];
    if (s != near_[point] && d < best) {
      best = d;
      slot = s;
    }
  }
  second_[point] = slot;
  second_d_[point] = best;
}

void MedoidSearch::sum_up() {
  loss_ = 0;
  removal_.assign(medoids_.size(), 0.0);
  for (int64_t i = 0; i < n_; ++i) {
    const double near = static_cast<double>(near_d_[i]);
    loss_ += near;
    if (k() > 1) removal_[near_[i]] += static_cast<double>(second_d_[i]) - near;
  }
}

MedoidSearch::Swap MedoidSearch::best_swap(int64_t candidate) const {
  const float* d = row(candidate);
  double shared = 0;
  if (k() == 1) {
    for (int64_t i = 0; i < n_; ++i) shared += static_cast<double>(d[i]);
    return {shared - loss_, 0};
  }
  static thread_local std::vector<double> change;
  static thread_local std::vector<int32_t> nearer;
  change = removal_;
  nearer.resize(static_cast<size_t>(n_));
  const int64_t count = kernels().select_below(d, second_d_.data(), n_, nearer.data());
  for (int64_t at = 0; at < count; ++at) {
    const int32_t i = nearer[at];
    const double distance = static_cast<double>(d[i]), near = static_cast<double>(near_d_[i]);
    const double gain = std::min(distance - near, 0.0);  // goes over to the candidate, whichever medoid leaves
    shared += gain;
    change[near_[i]] += distance - gain - static_cast<double>(second_d_[i]);
  }
  const auto best = std::min_element(change.begin(), change.end());
  return {*best + shared, best - change.begin()};
}

// Offset from next_ of the first of `count` candidates that lowers the loss by more than rounding could, or `count`.
int64_t MedoidSearch::first_improving(int64_t count, Swap* found) const {
  const double limit = -loss_ * static_cast<double>(n_) * std::numeric_limits<double>::epsilon();
  std::atomic<int64_t> first{count};
  const auto score = [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end && at < first.load(std::memory_order_relaxed); ++at) {
      const int64_t candidate = (next_ + at) % n_;
      if (is_medoid_[candidate] || !(best_swap(candidate).change < limit)) continue;
      int64_t seen = first.load();
      while (at < seen && !first.compare_exchange_weak(seen, at)) {}
      return;
    }
  };
  score(0, std::min(count, kAlone));
  if (first.load() == count && count > kAlone)
    parallel_for(count - kAlone, kCandidates, [&](int64_t begin, int64_t end) { score(begin + kAlone, end + kAlone); });
  if (first.load() < count) *found = best_swap((next_ + first.load()) % n_);
  return first.load();
}

bool MedoidSearch::run(int64_t candidates, int64_t swaps) {
  const int64_t last_candidate = scored_ + candidates, last_swap = swaps_ + swaps;
  while (quiet_ < n_ && scored_ < last_candidate && swaps_ < last_swap) {
    const int64_t count = std::min(n_ - quiet_, last_candidate - scored_);
    Swap swap{};
    const int64_t at = first_improving(count, &swap);
    const bool found = at < count;
    const int64_t candidate = (next_ + at) % n_;
    const int64_t passed = found ? at + 1 : count;
    next_ = (next_ + passed) % n_;
    scored_ += passed;
    quiet_ = found ? 1 : quiet_ + passed;  // the candidate swapped in need not be scored again
    if (found) swap_in(candidate, swap.slot);
  }
  return quiet_ >= n_;
}

void MedoidSearch::swap_in(int64_t candidate, int64_t slot) {
  is_medoid_[medoids_[slot]] = 0;
  is_medoid_[candidate] = 1;
  medoids_[slot] = candidate;
  const float* d = row(candidate);
  parallel_for(n_, kPoints, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) replace(i, static_cast<int32_t>(slot), d[i]);
  });
  sum_up();
  ++swaps_;
}

// Nearest and second nearest of a point whose medoid in `slot` has just become one at this distance.
void MedoidSearch::replace(int64_t point, int32_t slot, float distance) {
  if (near_[point] == slot) {
    if (distance < second_d_[point]) {
      near_d_[point] = distance;
      return;
    }
    choose(point);
  } else if (distance < near_d_[point]) {
    second_[point] = near_[point];
    second_d_[point] = near_d_[point];
    near_[point] = slot;
    near_d_[point] = distance;
  } else if (distance < second_d_[point]) {
    second_[point] = slot;
    second_d_[point] = distance;
  } else if (second_[point] == slot) {
    find_second(point);
  }
}

}  // namespace cluscomp
