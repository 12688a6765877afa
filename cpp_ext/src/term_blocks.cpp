#include "cluscomp/term_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"
#include "forward_rows.h"

namespace cluscomp {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// splitmix64 of a place, under a seed.
uint64_t mix(uint64_t seed, uint64_t place) {
  uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

struct Value {
  int32_t term;
  float weight;
};

// Larger weights first, the lower term among equals.
bool heavier(const Value& a, const Value& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.term < b.term);
}

bool by_term(const Value& a, const Value& b) { return a.term < b.term; }

float scale_of(float largest) {
  float scale = largest / 255;
  while (scale * 255 < largest) scale = std::nextafter(scale, kInfinity);
  for (float below = std::nextafter(scale, 0.0f); scale > 0 && below * 255 >= largest;) {
    scale = below;
    below = std::nextafter(scale, 0.0f);
  }
  return scale;
}

uint8_t code_of(float value, float scale) {
  if (!(scale > 0)) return 0;
  int code = static_cast<int>(std::min(255.0f, std::ceil(value / scale)));
  while (code > 0 && scale * static_cast<float>(code - 1) >= value) --code;
  while (code < 255 && scale * static_cast<float>(code) < value) ++code;
  return static_cast<uint8_t>(code);
}

// What one thread holds while it divides terms.
class Divider {
 public:
  Divider(const ForwardRows& x, const BlockSettings& settings)
      : x_(x), settings_(settings), slots_(static_cast<size_t>(x.n_lists)) {}

  ListBlocks divide(const int32_t* rows, int64_t n) {
    ListBlocks made;
    const auto wanted = static_cast<int64_t>(settings_.centroid_fraction * static_cast<double>(n));
    const int64_t c = std::clamp<int64_t>(wanted, 1, std::min(n, kMostBlocks));
    std::vector<int32_t> labels(static_cast<size_t>(n), 0);
    if (c > 1) {
      choose_centroids(rows, n, c);
      for (int64_t i = 0; i < n; ++i) {
        labels[static_cast<size_t>(i)] = nearest(rows[i], nullptr);
        check_interrupt();
      }
      move_small(rows, labels, c);
    }
    gather(rows, labels, c, made);
    if (made.sizes.size() > 1) summarise(made);
    return made;
  }

 private:
  // The terms of a row, ascending.
  void read(int32_t row, std::vector<Value>& to) const {
    const Entries entries = entries_of(x_, row);
    to.clear();
    for (int64_t i = entries.first; i < entries.first + entries.count; ++i) {
      const int64_t term = x_.terms[i];
      if (term < 0 || term >= x_.n_lists) damaged_blocks("a term of a row");
      const float weight = weight_at(x_.weights, x_.type, i);
      if (!(weight >= 0 && weight < kInfinity)) damaged_blocks("a weight of a row");
      to.push_back({static_cast<int32_t>(term), weight});
    }
  }

  // Weights of the centroids by term: those of term t are index_[slots_[t] - 1].
  void choose_centroids(const int32_t* rows, int64_t n, int64_t c) {
    std::vector<std::pair<uint64_t, int64_t>> keys(static_cast<size_t>(n));
    for (int64_t p = 0; p < n; ++p) keys[static_cast<size_t>(p)] = {mix(settings_.seed, static_cast<uint64_t>(p)), p};
    std::nth_element(keys.begin(), keys.begin() + (c - 1), keys.end());
    std::vector<int64_t> places;
    for (int64_t i = 0; i < c; ++i) places.push_back(keys[static_cast<size_t>(i)].second);
    std::sort(places.begin(), places.end());
    for (const int32_t term : used_) slots_[static_cast<size_t>(term)] = 0;
    used_.clear();
    for (auto& column : index_) column.clear();
    sums_.resize(static_cast<size_t>(c));
    for (int64_t i = 0; i < c; ++i) {
      read(rows[places[static_cast<size_t>(i)]], values_);
      for (const Value& value : values_) {
        int32_t& slot = slots_[static_cast<size_t>(value.term)];
        if (!slot) {
          used_.push_back(value.term);
          slot = static_cast<int32_t>(used_.size());
          if (index_.size() < used_.size()) index_.emplace_back();
        }
        index_[static_cast<size_t>(slot - 1)].push_back({static_cast<int32_t>(i), value.weight});
      }
    }
  }

  // The centroid of a row, among those that are kept where `kept` is given.
  int32_t nearest(int32_t row, const std::vector<char>* kept) {
    read(row, values_);
    const auto cut = static_cast<size_t>(settings_.doc_cut);
    if (values_.size() > cut) {
      std::nth_element(values_.begin(), values_.begin() + static_cast<int64_t>(cut), values_.end(), heavier);
      values_.resize(cut);
      std::sort(values_.begin(), values_.end(), by_term);
    }
    std::fill(sums_.begin(), sums_.end(), 0.0f);
    for (const Value& value : values_) {
      const int32_t slot = slots_[static_cast<size_t>(value.term)];
      if (!slot) continue;
      for (const Value& entry : index_[static_cast<size_t>(slot - 1)])
        sums_[static_cast<size_t>(entry.term)] += value.weight * entry.weight;
    }
    int32_t best = -1;
    for (size_t c = 0; c < sums_.size(); ++c)
      if ((!kept || (*kept)[c]) && (best < 0 || sums_[c] > sums_[static_cast<size_t>(best)]))
        best = static_cast<int32_t>(c);
    return best;
  }

  void move_small(const int32_t* rows, std::vector<int32_t>& labels, int64_t c) {
    std::vector<int64_t> sizes(static_cast<size_t>(c));
    for (const int32_t label : labels) ++sizes[static_cast<size_t>(label)];
    std::vector<char> kept(static_cast<size_t>(c));
    for (size_t i = 0; i < kept.size(); ++i) kept[i] = sizes[i] && sizes[i] >= settings_.min_cluster_size;
    if (std::find(kept.begin(), kept.end(), 1) == kept.end()) {
      std::fill(labels.begin(), labels.end(), 0);
      return;
    }
    for (size_t i = 0; i < labels.size(); ++i)
      if (!kept[static_cast<size_t>(labels[i])]) {
        labels[i] = nearest(rows[i], &kept);
        check_interrupt();
      }
  }

  // Rows by block, ascending within each, and how many each has; empty ones are left out.
  static void gather(const int32_t* rows, const std::vector<int32_t>& labels, int64_t c, ListBlocks& made) {
    std::vector<int32_t> sizes(static_cast<size_t>(c)), next(static_cast<size_t>(c));
    for (const int32_t label : labels) ++sizes[static_cast<size_t>(label)];
    std::exclusive_scan(sizes.begin(), sizes.end(), next.begin(), 0);
    made.rows.resize(labels.size());
    for (size_t i = 0; i < labels.size(); ++i)
      made.rows[static_cast<size_t>(next[static_cast<size_t>(labels[i])]++)] = rows[i];
    for (const int32_t size : sizes)
      if (size) made.sizes.push_back(size);
  }

  struct Kept {
    int32_t term;
    uint16_t block;
    float weight;
  };

  void summarise(ListBlocks& made) {
    kept_.clear();
    const int32_t* rows = made.rows.data();
    for (size_t block = 0; block < made.sizes.size(); ++block) {
      summary(rows, made.sizes[block]);
      for (const Value& value : maxima_) kept_.push_back({value.term, static_cast<uint16_t>(block), value.weight});
      rows += made.sizes[block];
    }
    std::sort(kept_.begin(), kept_.end(),
              [](const Kept& a, const Kept& b) { return a.term < b.term || (a.term == b.term && a.block < b.block); });
    float largest = 0;
    for (const Kept& entry : kept_) largest = std::max(largest, entry.weight);
    made.scale = x_.type == WeightType::u8 ? 1.0f : scale_of(largest);
    for (const Kept& entry : kept_) {
      made.entry_terms.push_back(entry.term);
      made.entry_blocks.push_back(entry.block);
      made.entry_codes.push_back(code_of(entry.weight, made.scale));
    }
  }

  // Whether a summary of n rows has all the terms that it may have.
  bool is_full(size_t count, int32_t n) const {
    return settings_.summary_terms && static_cast<int64_t>(count) / n >= settings_.summary_terms;
  }

  // The largest weights of the terms of some rows, as many as the energy asks for, into maxima_.
  void summary(const int32_t* rows, int32_t n) {
    all_.clear();
    for (int32_t i = 0; i < n; ++i) {
      read(rows[i], values_);
      all_.insert(all_.end(), values_.begin(), values_.end());
    }
    std::sort(all_.begin(), all_.end(),
              [](const Value& a, const Value& b) { return a.term < b.term || (a.term == b.term && heavier(a, b)); });
    maxima_.clear();
    for (const Value& value : all_)
      if (maxima_.empty() || maxima_.back().term != value.term) maxima_.push_back(value);
    if (settings_.summary_energy >= 1) return;
    std::sort(maxima_.begin(), maxima_.end(), heavier);
    double total = 0, sum = 0;
    for (const Value& value : maxima_) total += static_cast<double>(value.weight);
    size_t count = 0;
    while (count < maxima_.size() && (!count || sum < settings_.summary_energy * total) && !is_full(count, n))
      sum += static_cast<double>(maxima_[count++].weight);
    maxima_.resize(count);
  }

  const ForwardRows& x_;
  const BlockSettings& settings_;
  std::vector<int32_t> slots_, used_;
  std::vector<std::vector<Value>> index_;  // (centroid, weight)
  std::vector<float> sums_;
  std::vector<Value> values_, all_, maxima_;
  std::vector<Kept> kept_;
};

}  // namespace

std::vector<ListBlocks> divide_terms(const ForwardRows& x, const int64_t* starts, const int32_t* rows, int64_t m,
                                     const BlockSettings& settings) {
  std::vector<ListBlocks> made(static_cast<size_t>(m));
  parallel_for(m, std::max<int64_t>(1, m / 64), [&](int64_t begin, int64_t end) {
    Divider divider(x, settings);
    for (int64_t i = begin; i < end; ++i) {
      if (starts[i] < starts[i + 1])
        made[static_cast<size_t>(i)] = divider.divide(rows + starts[i], starts[i + 1] - starts[i]);
    }
  });
  return made;
}

}  // namespace cluscomp
