// Flow: mass that prices leave out of place moves along shortest paths over the clusters.
//
// A step a -> b of a path moves one holding of a, and costs its cost at b less its cost at a; with the prices as
// potentials no step costs less than zero. Clusters deliver between `low` and `high` to the sink, whose price is zero.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cluscomp/allotment.h"

namespace cluscomp {
namespace {

constexpr double kFar = std::numeric_limits<double>::infinity();
constexpr int32_t kNone = -1, kSink = -2;

}  // namespace

float Allotment::cost_of(int64_t item, int32_t cluster) const {
  const List list = lists_[item];
  for (int32_t l = 0; l < list.length; ++l)
    if (ids_[list.begin + l] == cluster) return costs_[list.begin + l];
  return std::numeric_limits<float>::infinity();
}

// Where only differences of prices matter, the sink's price is set so that the dearest clusters deliver most.
void Allotment::choose_level() {
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
void Allotment::place_items() {
  evaluate(prices_);
  if (holdings_.empty())
    for (int64_t i = 0; i < n_; ++i) holdings_.push_back({static_cast<int32_t>(i), best_[i], mass(i), kNone});
  sizes_.assign(static_cast<size_t>(k_), 0);
  for (Holding& h : holdings_) {
    const double best = static_cast<double>(cost_of(h.item, best_[h.item])) + prices_[best_[h.item]];
    const double here = static_cast<double>(cost_of(h.item, h.cluster)) + prices_[h.cluster];
    if (here > best + 1e-12 * std::fabs(best)) h.cluster = best_[h.item];
    sizes_[h.cluster] += h.amount;
  }
}

void Allotment::set_excess() {
  delivered_.assign(static_cast<size_t>(k_), 0);
  excess_.assign(static_cast<size_t>(k_) + 1, 0);
  for (int64_t j = 0; j < k_; ++j) {
    delivered_[j] = prices_[j] > 0 ? high_[j] : prices_[j] < 0 ? low_[j] : std::clamp(sizes_[j], low_[j], high_[j]);
    excess_[j] = sizes_[j] - delivered_[j];
  }
  excess_[k_] = std::accumulate(delivered_.begin(), delivered_.end(), int64_t{0}) - total_;
}

// After lists became longer: everything stays but what has a better place now.
void Allotment::resume_flow() {
  place_items();
  for (int64_t j = 0; j < k_; ++j) excess_[j] = sizes_[j] - delivered_[j];
  build_pairs();
}

void Allotment::begin_flow() {
  choose_level();
  prices_.push_back(0.0);  // of the sink
  place_items();
  set_excess();
  const double out = static_cast<double>(std::accumulate(excess_.begin(), excess_.end(), int64_t{0},
                                                         [](int64_t s, int64_t e) { return s + std::abs(e); }));
  window_ = window_for(std::clamp(4 * out / static_cast<double>(std::max<int64_t>(1, total_)), 0.02, 1.0));
  if (n_ < 4096) window_ = kFar;
  widened_ = 0;
  build_pairs();
  distance_.assign(static_cast<size_t>(k_) + 1, kFar);
  parent_.assign(static_cast<size_t>(k_) + 1, kNone);
  from_.assign(static_cast<size_t>(k_) + 1, kNone);
  settled_.assign(static_cast<size_t>(k_) + 1, 0);
  flowing_ = true;
}

void Allotment::build_pairs() {
  near_.assign(static_cast<size_t>(k_), {});
  pairs_.clear();
  pair_of_.clear();
  built_ = prices_;
  drift_ = 0;
  for (size_t h = 0; h < holdings_.size(); ++h) push_edges(static_cast<int32_t>(h));
}

void Allotment::push_edges(int32_t holding) {
  const Holding& h = holdings_[holding];
  if (h.amount == 0) return;
  const List list = lists_[h.item];
  const double here = static_cast<double>(cost_of(h.item, h.cluster));
  for (int32_t l = 0; l < list.length; ++l) {
    const int32_t j = ids_[list.begin + l];
    const double diff = static_cast<double>(costs_[list.begin + l]) - here;
    if (j == h.cluster || diff + prices_[j] - prices_[h.cluster] > window_) continue;
    const uint64_t key = static_cast<uint64_t>(h.cluster) << 32 | static_cast<uint64_t>(j);
    const auto [place, is_new] = pair_of_.try_emplace(key, static_cast<int32_t>(pairs_.size()));
    if (is_new) {
      pairs_.push_back({j, {}});
      near_[h.cluster].push_back(place->second);
    }
    std::vector<Entry>& heap = pairs_[place->second].heap;
    heap.push_back({diff, holding});
    std::push_heap(heap.begin(), heap.end());
  }
}

const Allotment::Entry* Allotment::top_entry(int32_t a, Pair& pair) {
  while (!pair.heap.empty()) {
    const Holding& h = holdings_[pair.heap.front().holding];
    if (h.cluster == a && h.amount > 0) return &pair.heap.front();
    std::pop_heap(pair.heap.begin(), pair.heap.end());
    pair.heap.pop_back();
  }
  return nullptr;
}

void Allotment::relax(int32_t a, int32_t b, double reduced, int32_t pair,
                      std::vector<std::pair<double, int32_t>>& queue) {
  const double distance = distance_[a] + std::max(0.0, reduced);  // below zero by rounding only
  if (!(distance < distance_[b])) return;
  distance_[b] = distance;
  parent_[b] = pair;
  from_[b] = a;
  queue.push_back({distance, b});
  std::push_heap(queue.begin(), queue.end(), std::greater<>());
}

// Dijkstra from all nodes with too much to the nearest with too little; kNone where there is no way.
int32_t Allotment::nearest_deficit() {
  const auto sink = static_cast<int32_t>(k_);
  std::fill(distance_.begin(), distance_.end(), kFar);
  std::fill(settled_.begin(), settled_.end(), 0);
  std::vector<std::pair<double, int32_t>> queue;
  for (int32_t v = 0; v <= sink; ++v) {
    if (excess_[v] <= 0) continue;
    distance_[v] = 0;
    parent_[v] = from_[v] = kNone;
    queue.push_back({0.0, v});
  }
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const int32_t a = queue.back().second;
    queue.pop_back();
    if (settled_[a]) continue;
    settled_[a] = 1;
    if (excess_[a] < 0) return a;
    if (a == sink) {
      for (int32_t b = 0; b < sink; ++b)
        if (!settled_[b] && delivered_[b] > low_[b]) relax(a, b, prices_[b] - prices_[a], kSink, queue);
      continue;
    }
    for (const int32_t p : near_[a]) {
      if (settled_[pairs_[p].to]) continue;
      if (const Entry* top = top_entry(a, pairs_[p]))
        relax(a, pairs_[p].to, top->diff + prices_[pairs_[p].to] - prices_[a], p, queue);
    }
    if (!settled_[sink] && delivered_[a] < high_[a]) relax(a, sink, prices_[sink] - prices_[a], kSink, queue);
  }
  return kNone;
}

void Allotment::raise_prices(double distance) {
  for (size_t v = 0; v < prices_.size(); ++v) {
    if (distance_[v] < distance) prices_[v] += distance - distance_[v];
    drift_ = std::max(drift_, prices_[v] - built_[v]);
  }
}

void Allotment::augment(int32_t target) {
  int64_t amount = -excess_[target];
  int32_t v = target;
  for (; from_[v] != kNone; v = from_[v]) {
    if (parent_[v] != kSink) {
      amount = std::min(amount, holdings_[pairs_[parent_[v]].heap.front().holding].amount);
    } else {
      const int32_t cluster = v == static_cast<int32_t>(k_) ? from_[v] : v;
      amount = std::min(amount, v == cluster ? delivered_[v] - low_[v] : high_[cluster] - delivered_[cluster]);
    }
  }
  amount = std::min(amount, excess_[v]);
  excess_[v] -= amount;
  excess_[target] += amount;
  for (v = target; from_[v] != kNone; v = from_[v]) {
    if (parent_[v] != kSink) {
      move(pairs_[parent_[v]].heap.front().holding, amount, v);
    } else if (v == static_cast<int32_t>(k_)) {
      delivered_[from_[v]] += amount;
    } else {
      delivered_[v] -= amount;
    }
  }
}

void Allotment::move(int32_t holding, int64_t amount, int32_t cluster) {
  Holding& h = holdings_[holding];
  if (h.amount == amount) {
    h.cluster = cluster;
    push_edges(holding);
    return;
  }
  h.amount -= amount;
  for (int32_t other = h.item; other != kNone; other = holdings_[other].next) {
    if (holdings_[other].cluster != cluster || other == holding) continue;
    const bool was_empty = holdings_[other].amount == 0;
    holdings_[other].amount += amount;
    if (was_empty) push_edges(other);
    return;
  }
  const auto made = static_cast<int32_t>(holdings_.size());
  const int32_t item = h.item;
  holdings_.push_back({item, cluster, amount, holdings_[item].next});  // the first holding of item i is number i
  holdings_[item].next = made;
  push_edges(made);
}

// A step that was left out may be shorter than `distance`: look again, at more of them.
void Allotment::widen(double distance) {
  if (distance > window_ / 4) {
    window_ *= 4;
    if (++widened_ > 6 || !(window_ > 0)) window_ = kFar;
  }
  build_pairs();
}

Allotment::State Allotment::settle(int64_t paths) {
  if (!flowing_) {
    prices_.resize(static_cast<size_t>(k_));
    begin_flow();
  } else if (!evaluated_) {
    resume_flow();
  }
  for (int64_t done = 0;; ++done) {
    const bool balanced = std::all_of(excess_.begin(), excess_.end(), [](int64_t e) { return e == 0; });
    if (balanced) break;
    if (done == paths) return State::more;
    int32_t target = nearest_deficit();
    while (window_ < kFar && (target == kNone || distance_[target] > window_ - drift_)) {
      widen(target == kNone ? kFar : distance_[target]);
      target = nearest_deficit();
    }
    if (target == kNone) return State::stuck;
    raise_prices(distance_[target]);
    augment(target);
    ++paths_;
  }
  const double level = prices_[k_];
  prices_.resize(static_cast<size_t>(k_));
  for (double& price : prices_) price -= level;
  flowing_ = false;
  return State::done;
}

std::vector<int64_t> Allotment::stuck_items() const {
  std::vector<int64_t> items;
  for (const Holding& h : holdings_)
    if (h.amount > 0 && settled_[h.cluster] && lists_[h.item].length < k_) items.push_back(h.item);
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  return items;
}

void Allotment::write_units(int32_t* out) {
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
