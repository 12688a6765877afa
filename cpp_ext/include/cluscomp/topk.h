// The best k of a stream of (score, position). The order is total: score descending, then position ascending, so a
// result depends neither on the order of arrival nor on how the stream was split. A score that is no number, where
// products overflow, counts as -infinity: no order would be left otherwise.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace cluscomp {

struct Hit {
  float score;
  int64_t position;
  bool before(const Hit& other) const {
    return score > other.score || (score == other.score && position < other.position);
  }
};

inline float ordered_score(float score) { return score == score ? score : -std::numeric_limits<float>::infinity(); }

// Sorts at most k hits and writes k entries, best first; missing ones are (-infinity, -1).
inline void write_hits(std::vector<Hit>& hits, size_t k, float* scores, int64_t* positions) {
  std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) { return a.before(b); });
  for (size_t i = 0; i < k; ++i) {
    const bool found = i < hits.size();
    scores[i] = found ? hits[i].score : -std::numeric_limits<float>::infinity();
    positions[i] = found ? hits[i].position : -1;
  }
}

class TopK {
 public:
  explicit TopK(int64_t k) : k_(static_cast<size_t>(k)) { hits_.reserve(k_); }

  int64_t k() const { return static_cast<int64_t>(k_); }
  bool full() const { return hits_.size() == k_; }
  // No hit with a lower score can enter any more.
  float threshold() const { return !full() ? -std::numeric_limits<float>::infinity() : hits_.front().score; }
  void push(float score, int64_t position) {
    const Hit hit{ordered_score(score), position};
    if (hits_.size() < k_) {
      hits_.push_back(hit);
      std::push_heap(hits_.begin(), hits_.end(), earlier);
    } else if (hit.before(hits_.front())) {
      std::pop_heap(hits_.begin(), hits_.end(), earlier);
      hits_.back() = hit;
      std::push_heap(hits_.begin(), hits_.end(), earlier);
    }
  }
  void merge(const TopK& other) {
    for (const Hit& hit : other.hits_) push(hit.score, hit.position);
  }
  void write(float* scores, int64_t* positions) { write_hits(hits_, k_, scores, positions); }

 private:
  static bool earlier(const Hit& a, const Hit& b) { return a.before(b); }  // heap top = the worst hit
  size_t k_;
  std::vector<Hit> hits_;
};

}  // namespace cluscomp
