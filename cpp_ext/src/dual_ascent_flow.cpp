// Flow: mass that prices leave out of place moves along shortest paths over the clusters.
//
// A step a -> b of a path moves one holding of a, and costs its cost at b less its cost at a; with the prices as
// potentials no step costs less than zero. Clusters deliver between `low` and `high` to the sink, whose price is zero.
// Distances are found by a look at the lists of all members of a cluster, when it is reached: nothing but the lists is
// stored, and one search serves all clusters with too little.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "cluscomp/dual_ascent.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr double kFar = std::numeric_limits<double>::infinity();
constexpr int32_t kNone = -1, kSink = -2;

}  // namespace

float DualAscent::cost_of(int64_t item, int32_t cluster) const {
  const List list = lists_[item];
  for (int32_t l = 0; l < list.length; ++l)
    if (ids_[list.begin + l] == cluster) return costs_[list.begin + l];
  return std::numeric_limits<float>::infinity();
}

// Where only differences of prices matter, the sink's price is set so that the dearest clusters deliver most.
void DualAscent::choose_level() {
  if (!shift_free_) return;
  std::vector<int32_t> order(static_cast<size_t>(k_));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return prices_[a] > prices_[b]; });
  int64_t left = total_ - std::accumulate(low_.begin(), low_.end(), int64_t{0});
  double level = prices_[order[0]];
  for (const int32_t j : order) {
    level = prices_[j];
    left -= high_[j] - low_[j];
    if (left < 0) break;
  }
  for (double& price : prices_) price -= level;
}

// Every holding at the best place of its item; one that is as good where it lies stays.
void DualAscent::place_items() {
  evaluate(prices_);
  if (holdings_.empty())
    for (int64_t i = 0; i < n_; ++i) holdings_.push_back({static_cast<int32_t>(i), best_[i], mass(i), kNone, 0});
  sizes_.assign(static_cast<size_t>(k_), 0);
  members_.assign(static_cast<size_t>(k_), {});
  for (size_t i = 0; i < holdings_.size(); ++i) {
    Holding& h = holdings_[i];
    const double best = static_cast<double>(cost_of(h.item, best_[h.item])) + prices_[best_[h.item]];
    const double here = static_cast<double>(cost_of(h.item, h.cluster)) + prices_[h.cluster];
    if (here > best + 1e-12 * std::fabs(best)) h.cluster = best_[h.item];
    h.cost = cost_of(h.item, h.cluster);
    sizes_[h.cluster] += h.amount;
    if (h.amount > 0) members_[h.cluster].push_back(static_cast<int32_t>(i));
  }
}

void DualAscent::set_excess() {
  delivered_.assign(static_cast<size_t>(k_), 0);
  excess_.assign(static_cast<size_t>(k_) + 1, 0);
  for (int64_t j = 0; j < k_; ++j) {
    delivered_[j] = prices_[j] > 0 ? high_[j] : prices_[j] < 0 ? low_[j] : std::clamp(sizes_[j], low_[j], high_[j]);
    excess_[j] = sizes_[j] - delivered_[j];
  }
  excess_[k_] = std::accumulate(delivered_.begin(), delivered_.end(), int64_t{0}) - total_;
}

void DualAscent::begin_flow() {
  prices_.resize(static_cast<size_t>(k_));
  choose_level();
  prices_.push_back(0.0);  // of the sink
  place_items();
  set_excess();
  flowing_ = true;
}

// After all lists were recomputed: only what has a better place now moves.
void DualAscent::resume_flow() {
  place_items();
  for (int64_t j = 0; j < k_; ++j) excess_[j] = sizes_[j] - delivered_[j];
}

void DualAscent::relax(int32_t from, int32_t to, double reduced, int32_t holding, Queue& queue) {
  const double distance = distance_[from] + std::max(0.0, reduced);  // below zero by rounding only
  if (!(distance < distance_[to])) return;
  distance_[to] = distance;
  parent_[to] = holding;
  from_[to] = from;
  queue.push_back({distance, to});
  std::push_heap(queue.begin(), queue.end(), std::greater<>());
}

// All steps out of a cluster: of its members to what else is on their lists.
void DualAscent::relax_members(int32_t cluster, Queue& queue) {
  std::vector<int32_t>& members = members_[cluster];
  std::erase_if(members, [&](int32_t h) { return holdings_[h].cluster != cluster || holdings_[h].amount == 0; });
  const double* prices = prices_.data();
  const double* distance = distance_.data();
  for (const int32_t h : members) {
    const List list = lists_[holdings_[h].item];
    const int32_t* ids = ids_.data() + list.begin;
    const float* costs = costs_.data() + list.begin;
    const double here = static_cast<double>(holdings_[h].cost) + prices[cluster];
    const double less = here - distance[cluster];
    for (int32_t l = 0; l < list.length; ++l) {
      const double value = static_cast<double>(costs[l]) + prices[ids[l]];
      if (value - less < distance[ids[l]] && !settled_[ids[l]]) relax(cluster, ids[l], value - here, h, queue);
    }
  }
}

// Dijkstra from all nodes with too much: those with too little that are within reach, by distance.
std::vector<int32_t> DualAscent::nearest_deficits() {
  const auto sink = static_cast<int32_t>(k_);
  distance_.assign(static_cast<size_t>(k_) + 1, kFar);
  parent_.assign(static_cast<size_t>(k_) + 1, kNone);
  from_.assign(static_cast<size_t>(k_) + 1, kNone);
  settled_.assign(static_cast<size_t>(k_) + 1, 0);
  Queue queue;
  int64_t missing = 0;
  for (int32_t v = 0; v <= sink; ++v) {
    missing += std::max<int64_t>(0, -excess_[v]);
    if (excess_[v] <= 0) continue;
    distance_[v] = 0;
    queue.push_back({0.0, v});
  }
  std::vector<int32_t> found;
  while (!queue.empty() && missing > 0) {
    check_interrupt();
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const int32_t a = queue.back().second;
    queue.pop_back();
    if (settled_[a]) continue;
    settled_[a] = 1;
    if (excess_[a] < 0) {
      found.push_back(a);
      missing += excess_[a];
    }
    if (a == sink) {
      for (int32_t b = 0; b < sink; ++b)
        if (!settled_[b] && delivered_[b] > low_[b]) relax(a, b, prices_[b] - prices_[a], kSink, queue);
      continue;
    }
    relax_members(a, queue);
    if (!settled_[sink] && delivered_[a] < high_[a]) relax(a, sink, prices_[sink] - prices_[a], kSink, queue);
  }
  return found;
}

// After it, the steps on the ways to all nodes within `distance` cost nothing, and none less.
void DualAscent::raise_prices(double distance) {
  for (size_t v = 0; v < prices_.size(); ++v)
    if (distance_[v] < distance) prices_[v] += distance - distance_[v];
}

double DualAscent::farthest() const {
  double most = 0;
  for (const double distance : distance_)
    if (distance < kFar) most = std::max(most, distance);
  return most;
}

// What may move to `target`; ways that were used before in the same round may be blocked.
int64_t DualAscent::room_on_path(int32_t target) const {
  int64_t amount = -excess_[target];
  int32_t v = target;
  for (; from_[v] != kNone; v = from_[v]) {
    const int32_t a = from_[v];
    if (parent_[v] != kSink) {
      const Holding& h = holdings_[parent_[v]];
      amount = std::min(amount, h.cluster == a ? h.amount : 0);
    } else {
      amount = std::min(amount, a == static_cast<int32_t>(k_) ? delivered_[v] - low_[v] : high_[a] - delivered_[a]);
    }
  }
  return std::min(amount, excess_[v]);
}

void DualAscent::augment(int32_t target, int64_t amount) {
  excess_[target] += amount;
  int32_t v = target;
  for (; from_[v] != kNone; v = from_[v]) {
    if (parent_[v] != kSink) {
      move(parent_[v], amount, v);
    } else if (v == static_cast<int32_t>(k_)) {
      delivered_[from_[v]] += amount;
    } else {
      delivered_[v] -= amount;
    }
  }
  excess_[v] -= amount;
}

void DualAscent::move(int32_t holding, int64_t amount, int32_t cluster) {
  Holding& h = holdings_[holding];
  const int32_t item = h.item;
  h.amount -= amount;
  for (int32_t other = item; other != kNone; other = holdings_[other].next) {
    if (holdings_[other].cluster != cluster) continue;
    if (holdings_[other].amount == 0) members_[cluster].push_back(other);
    holdings_[other].amount += amount;
    return;
  }
  if (h.amount == 0) {
    h = {item, cluster, amount, h.next, cost_of(item, cluster)};
    members_[cluster].push_back(holding);
    return;
  }
  const auto made = static_cast<int32_t>(holdings_.size());
  holdings_.push_back({item, cluster, amount, holdings_[item].next, cost_of(item, cluster)});
  holdings_[item].next = made;  // the first holding of item i is number i
  members_[cluster].push_back(made);
}

int64_t DualAscent::out_of_place() const {
  return std::accumulate(excess_.begin(), excess_.end(), int64_t{0},
                         [](int64_t sum, int64_t excess) { return sum + std::max<int64_t>(0, excess); });
}

DualAscent::State DualAscent::settle(int64_t rounds, int64_t rest) {
  if (!flowing_) {
    begin_flow();
  } else if (!evaluated_) {
    resume_flow();
  }
  for (int64_t round = 0;; ++round) {
    if (out_of_place() <= rest) return State::done;
    if (round == rounds) return State::more;
    const std::vector<int32_t> targets = nearest_deficits();
    raise_prices(targets.empty() ? farthest() : distance_[targets.back()]);
    if (targets.empty()) return State::stalled;
    for (const int32_t target : targets)
      if (const int64_t amount = room_on_path(target); amount > 0) {
        augment(target, amount);
        ++paths_;
      }
  }
}

std::vector<int64_t> DualAscent::wanted() const {
  const int64_t sink = std::max<int64_t>(0, -excess_[k_]);
  std::vector<int64_t> out(static_cast<size_t>(k_));
  for (int64_t j = 0; j < k_; ++j)
    out[j] = std::max<int64_t>(0, -excess_[j]) + std::min(sink, high_[j] - delivered_[j]);
  return out;
}

void DualAscent::extend_list(int64_t item, int32_t cluster, float cost) {
  const List list = lists_[item];
  const auto begin = static_cast<int64_t>(ids_.size());
  for (int64_t l = list.begin; l < list.begin + list.length; ++l) {
    const int32_t id = ids_[l];  // copies: the arrays may move
    const float value = costs_[l];
    ids_.push_back(id);
    costs_.push_back(value);
  }
  ids_.push_back(cluster);
  costs_.push_back(cost);
  lists_[item] = {begin, list.length + 1, list.last};
}

void DualAscent::pull(int64_t n, const int64_t* items, const int32_t* sources, const int32_t* targets,
                      const double* diffs) {
  for (int64_t i = 0; i < n; ++i) {
    auto h = static_cast<int32_t>(items[i]);
    while (h != kNone && (holdings_[h].cluster != sources[i] || holdings_[h].amount == 0)) h = holdings_[h].next;
    if (h == kNone) continue;  // the caller's view was old
    if (!(cost_of(items[i], targets[i]) < std::numeric_limits<float>::infinity()))
      extend_list(items[i], targets[i], static_cast<float>(static_cast<double>(holdings_[h].cost) + diffs[i]));
    move(h, 1, targets[i]);
    excess_[sources[i]] -= 1;
    excess_[targets[i]] += 1;
  }
}

void DualAscent::write_units(int32_t* out) {
  std::vector<std::pair<int32_t, int64_t>> parts;
  for (int64_t i = 0; i < n_; ++i) {
    parts.clear();
    for (int32_t h = static_cast<int32_t>(i); h != kNone; h = holdings_[h].next)
      parts.push_back({holdings_[h].cluster, holdings_[h].amount});
    std::sort(parts.begin(), parts.end());
    for (const auto& [cluster, amount] : parts) out = std::fill_n(out, amount, cluster);
  }
}

}  // namespace cluscomp
