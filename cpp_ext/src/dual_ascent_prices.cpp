// Prices: evaluation of the dual and Newton steps on it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>
#include <stdexcept>

#include "cluscomp/dual_ascent.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kChunk = 8192;            // items of one partial sum; fixed, so that its rounding is too
constexpr int kSolverSteps[] = {60, 4, 1};  // of conjugate gradients; fewer where the step of more leads nowhere
constexpr double kLargestStep = 4.0;        // in windows: the boundary counts say nothing of what lies beyond
constexpr int64_t kSample = 16384;          // items looked at for a quantile
constexpr double kValid = 0.9;              // share of the lists that must certainly hold their item's best cluster

struct Edge {
  int32_t a, b;
  double weight;
};

}  // namespace

DualAscent::DualAscent(int64_t n, int64_t k, const int64_t* mass, const int64_t* low, const int64_t* high)
    : n_(n),
      k_(k),
      total_(n),
      low_(low, low + k),
      high_(high, high + k),
      lists_(static_cast<size_t>(n)),
      prices_(static_cast<size_t>(k), 0.0),
      best_(static_cast<size_t>(n)),
      second_(static_cast<size_t>(n)),
      regret_(static_cast<size_t>(n)) {
  if (mass) {
    mass_.assign(mass, mass + n);
    total_ = std::accumulate(mass_.begin(), mass_.end(), int64_t{0});
  }
  const int64_t least = std::accumulate(low_.begin(), low_.end(), int64_t{0});
  const int64_t most = std::accumulate(high_.begin(), high_.end(), int64_t{0});
  int64_t widest = 0;
  for (int64_t j = 0; j < k; ++j) widest = std::max(widest, high_[j] - low_[j]);
  shift_free_ = least == total_ || most == total_ || widest <= 1;
  fill_ = most == least ? 0.0 : static_cast<double>(total_ - least) / static_cast<double>(most - least);
}

void DualAscent::set_lists(const int64_t* items, int64_t first, int64_t n, int64_t length, const int32_t* ids,
                           const float* costs) {
  const int64_t begin = static_cast<int64_t>(ids_.size());
  if (ids_.capacity() < static_cast<size_t>(begin + n * length))
    for (const size_t size = static_cast<size_t>(std::max(n_ * length, begin + n * length)); ids_.capacity() < size;) {
      ids_.reserve(size);
      costs_.reserve(size);
    }
  if (base_.empty()) base_.assign(prices_.begin(), prices_.begin() + k_);
  ids_.insert(ids_.end(), ids, ids + n * length);
  costs_.insert(costs_.end(), costs, costs + n * length);
  std::replace_if(
      costs_.begin() + begin, costs_.end(), [](float cost) { return cost != cost; },
      std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < n; ++i) {
    const int64_t last = begin + (i + 1) * length - 1;
    const float value = static_cast<float>(static_cast<double>(costs_[last]) + prices_[ids_[last]]);
    List& list = lists_[items ? items[i] : first + i];
    listed_ += list.length == 0;
    list = {begin + i * length, static_cast<int32_t>(length), value};
  }
  evaluated_ = false;
}

void DualAscent::set_prices(const double* prices) {
  prices_.assign(prices, prices + k_);
  drop_lists();
  evaluated_ = false;
  flowing_ = false;
}

std::vector<double> DualAscent::prices() const {
  std::vector<double> out(prices_.begin(), prices_.begin() + k_);
  if (flowing_)
    for (double& price : out) price -= prices_[k_];
  return out;
}

// How far prices may fall while most lists still certainly hold their item's best cluster.
double DualAscent::find_reach() const {
  std::vector<double> slack;
  const int64_t step = std::max<int64_t>(1, n_ / kSample);
  for (int64_t i = 0; i < n_; i += step) {
    const List list = lists_[i];
    if (list.length == k_) continue;
    double first = std::numeric_limits<double>::infinity();
    for (int32_t l = 0; l < list.length; ++l)
      first = std::min(first, static_cast<double>(costs_[list.begin + l]) + base_[ids_[list.begin + l]]);
    const double room = static_cast<double>(list.last) - first;
    if (room == room) slack.push_back(room);  // infinite costs leave none
  }
  if (slack.empty()) return std::numeric_limits<double>::infinity();
  const auto rank = static_cast<std::ptrdiff_t>((1 - kValid) * static_cast<double>(slack.size()));
  std::nth_element(slack.begin(), slack.begin() + rank, slack.end());
  return slack[rank];
}

void DualAscent::drop_lists() {
  ids_.clear();
  costs_.clear();
  base_.clear();
  lists_.assign(lists_.size(), {});
  listed_ = 0;
  reach_ = -1;
}

int64_t DualAscent::count_escaped() {
  evaluate(prices_);
  return escaped_;
}

// What cluster j should hold at its price; in between where the price does not say.
double DualAscent::target(int64_t j) const {
  const double low = static_cast<double>(low_[j]), high = static_cast<double>(high_[j]);
  if (shift_free_) return low + (high - low) * fill_;
  if (prices_[j] > 0) return high;
  if (prices_[j] < 0) return low;
  return std::clamp(static_cast<double>(sizes_[j]), low, high);
}

void DualAscent::evaluate(const std::vector<double>& prices) {
  if (listed_ < n_) throw std::logic_error("an item has no list");
  const int64_t chunks = (n_ + kChunk - 1) / kChunk;
  std::vector<double> partial(static_cast<size_t>(chunks), 0.0);
  sizes_.assign(static_cast<size_t>(k_), 0);
  escaped_ = 0;
  double fallen = -std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < k_; ++j) fallen = std::max(fallen, base_[j] - prices[j]);
  std::mutex mutex;
  parallel_for(chunks, 2, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> sizes(static_cast<size_t>(k_), 0);
    int64_t escaped = 0;
    for (int64_t c = begin; c < end; ++c) {
      double sum = 0;
      for (int64_t i = c * kChunk; i < std::min(n_, (c + 1) * kChunk); ++i) {
        const List list = lists_[i];
        const int32_t* ids = ids_.data() + list.begin;
        const float* costs = costs_.data() + list.begin;
        double first = std::numeric_limits<double>::infinity(), second = first;
        int32_t best = ids[0], next = -1;  // of costs that are all infinite, the lowest cluster
        for (int32_t l = 0; l < list.length; ++l) {
          const int32_t j = ids[l];
          const double value = static_cast<double>(costs[l]) + prices[j];
          if (value < first || (value == first && j < best)) {
            second = first;
            next = best;
            first = value;
            best = j;
          } else if (value < second) {
            second = value;
            next = j;
          }
        }
        best_[i] = best;
        second_[i] = second < std::numeric_limits<double>::infinity() ? next : -1;
        regret_[i] = static_cast<float>(second - first);
        sizes[best] += mass(i);
        sum += static_cast<double>(mass(i)) * first;
        if (list.length < k_ && first > static_cast<double>(list.last) - fallen) escaped += 1;
      }
      partial[c] = sum;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    for (int64_t j = 0; j < k_; ++j) sizes_[j] += sizes[j];
    escaped_ += escaped;
  });
  dual_ = 0;
  for (const double sum : partial) dual_ += sum;
  for (int64_t j = 0; j < k_; ++j) {
    const double p = prices[j];
    dual_ -=
        shift_free_ ? p * target(j) : std::max(p * static_cast<double>(high_[j]), p * static_cast<double>(low_[j]));
  }
  evaluated_ = true;
}

std::vector<double> DualAscent::gradient() const {
  std::vector<double> g(static_cast<size_t>(k_));
  for (int64_t j = 0; j < k_; ++j) {
    g[j] = static_cast<double>(sizes_[j]) - target(j);
    if (shift_free_ && sizes_[j] >= low_[j] && sizes_[j] <= high_[j]) g[j] = 0;
  }
  return g;
}

// The regret that `share` of the items stay below.
double DualAscent::window_for(double share) const {
  std::vector<float> sample;
  const int64_t step = std::max<int64_t>(1, n_ / kSample);
  for (int64_t i = 0; i < n_; i += step)
    if (regret_[i] < std::numeric_limits<float>::infinity()) sample.push_back(regret_[i]);
  if (sample.empty()) return 0;
  const size_t rank = std::min(sample.size() - 1, static_cast<size_t>(share * static_cast<double>(sample.size())));
  std::nth_element(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(rank), sample.end());
  return static_cast<double>(sample[rank]);
}

// Solves (Laplacian + ridge) step = gradient by conjugate gradients; clusters at a price of zero that want nothing
// stay.
std::vector<double> DualAscent::newton_step(double window, int solver_steps) const {
  const size_t k = static_cast<size_t>(k_);
  std::vector<double> g = gradient(), diagonal(k, 0.0), step(k, 0.0);
  std::vector<char> free(k);
  for (size_t j = 0; j < k; ++j) free[j] = shift_free_ || g[j] != 0 || prices_[j] != 0;
  std::vector<uint64_t> keys;
  for (int64_t i = 0; i < n_; ++i) {
    if (!(static_cast<double>(regret_[i]) < window) || second_[i] < 0) continue;
    const auto [a, b] = std::minmax(best_[i], second_[i]);
    const uint64_t key = static_cast<uint64_t>(a) << 32 | static_cast<uint64_t>(b);
    for (int64_t m = std::min<int64_t>(mass(i), 16); m > 0; --m) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  std::vector<Edge> edges;
  for (size_t i = 0; i < keys.size();) {
    size_t end = i;
    while (end < keys.size() && keys[end] == keys[i]) ++end;
    const auto a = static_cast<int32_t>(keys[i] >> 32), b = static_cast<int32_t>(keys[i] & 0xffffffffu);
    const double weight = static_cast<double>(end - i) / (2 * window);
    edges.push_back({a, b, weight});
    diagonal[a] += weight;
    diagonal[b] += weight;
    i = end;
  }
  const double mean = std::accumulate(diagonal.begin(), diagonal.end(), 0.0) / static_cast<double>(k_);
  for (double& value : diagonal) value += 1e-3 * mean + 1e-300;
  std::vector<double> r = g, z(k), q(k), direction(k);
  for (size_t j = 0; j < k; ++j) {
    if (!free[j]) r[j] = 0;
    direction[j] = z[j] = r[j] / diagonal[j];
  }
  double rz = std::inner_product(r.begin(), r.end(), z.begin(), 0.0);
  const double enough = rz * 1e-4;
  for (int it = 0; it < solver_steps && rz > enough; ++it) {
    for (size_t j = 0; j < k; ++j) q[j] = diagonal[j] * direction[j];
    for (const Edge& e : edges) {
      q[e.a] -= e.weight * direction[e.b];
      q[e.b] -= e.weight * direction[e.a];
    }
    for (size_t j = 0; j < k; ++j)
      if (!free[j]) q[j] = 0;
    const double curvature = std::inner_product(direction.begin(), direction.end(), q.begin(), 0.0);
    if (!(curvature > 0)) break;
    const double alpha = rz / curvature;
    for (size_t j = 0; j < k; ++j) {
      step[j] += alpha * direction[j];
      r[j] -= alpha * q[j];
      z[j] = r[j] / diagonal[j];
    }
    const double next = std::inner_product(r.begin(), r.end(), z.begin(), 0.0);
    for (size_t j = 0; j < k; ++j) direction[j] = z[j] + next / rz * direction[j];
    rz = next;
  }
  if (shift_free_) {  // the level means nothing, and must not drift
    const double level = std::accumulate(step.begin(), step.end(), 0.0) / static_cast<double>(k_);
    for (double& value : step) value -= level;
  }
  for (double& value : step) value = std::clamp(value, -kLargestStep * window, kLargestStep * window);
  return step;
}

// Prices after a step; they fall no further than lists stay valid, and is_short_ says whether that cut the step.
std::vector<double> DualAscent::stepped(const std::vector<double>& step, double scale) {
  std::vector<double> moved(prices_);
  double level = 0;
  for (size_t j = 0; j < moved.size(); ++j) {
    moved[j] += scale * step[j];
    if (!shift_free_ && moved[j] * prices_[j] < 0) moved[j] = 0;  // at zero the amount wanted changes
    if (!shift_free_ && low_[j] == 0 && moved[j] < 0) moved[j] = 0;
    level += (moved[j] - base_[j]) / static_cast<double>(k_);
  }
  is_short_ = false;
  for (size_t j = 0; j < moved.size(); ++j) {
    const double floor = std::min(prices_[j], base_[j] + level - reach_);
    if (moved[j] >= floor) continue;
    moved[j] = floor;
    is_short_ = true;
  }
  return moved;
}

// One step that raises the dual, if there is one.
bool DualAscent::ascend(double window) {
  const double before = dual_;
  for (const int solver_steps : kSolverSteps) {
    const std::vector<double> step = newton_step(window, solver_steps);
    for (double scale = 1; scale > 0.01; scale /= 4) {
      const std::vector<double> trial = stepped(step, scale);
      evaluate(trial);
      if (dual_ > before) {
        prices_ = trial;
        return true;
      }
    }
    evaluate(prices_);
  }
  return false;
}

bool DualAscent::improve(int rounds, double tolerance) {
  if (!evaluated_) evaluate(prices_);
  if (reach_ < 0) reach_ = find_reach();
  flowing_ = false;
  for (int round = 0;; ++round) {
    double out_of_place = 0;
    for (const double g : gradient()) out_of_place += std::fabs(g) / 2;
    imbalance_ = out_of_place / static_cast<double>(std::max<int64_t>(total_, 1));
    if (imbalance_ <= tolerance) return false;
    if (round == rounds) return true;
    const double window = window_for(std::clamp(3 * imbalance_, 0.003, 0.3));
    if (!(window > 0)) return false;  // ties only: prices cannot part them
    if (!ascend(window)) return false;
  }
}

}  // namespace cluscomp
