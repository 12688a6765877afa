// The best k hits of a search: score descending, then row ascending.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace cluscomp {

class BestHits {
 public:
  explicit BestHits(int64_t k) : k_(static_cast<size_t>(k)) {}
  bool full() const { return hits_.size() == k_; }
  float least() const { return hits_.front().first; }
  void offer(float score, int64_t row) {
    const Hit hit{score, row};
    if (full()) {
      if (!Better()(hit, hits_.front())) return;
      std::pop_heap(hits_.begin(), hits_.end(), Better());
      hits_.back() = hit;
    } else {
      hits_.push_back(hit);
    }
    std::push_heap(hits_.begin(), hits_.end(), Better());
  }
  // Writes k hits, -inf and -1 for those that are missing, and starts again.
  void write(float* scores, int64_t* positions) {
    std::sort_heap(hits_.begin(), hits_.end(), Better());
    for (size_t i = 0; i < k_; ++i) {
      scores[i] = i < hits_.size() ? hits_[i].first : -std::numeric_limits<float>::infinity();
      positions[i] = i < hits_.size() ? hits_[i].second : -1;
    }
    hits_.clear();
  }

 private:
  using Hit = std::pair<float, int64_t>;
  struct Better {
    bool operator()(const Hit& a, const Hit& b) const {
      return a.first > b.first || (a.first == b.first && a.second < b.second);
    }
  };

  size_t k_;
  std::vector<Hit> hits_;  // the worst of them on top of the heap
};

}  // namespace cluscomp
