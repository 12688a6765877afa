// The best k of a long stream of hits: they gather until a quarter more wait, then all but k go at once. A hit costs
// less than in a heap (topk.h); the threshold rises in steps. The order is that of TopK.
#pragma once

#include "cluscomp/topk.h"

namespace cluscomp {

class Reservoir {
 public:
  explicit Reservoir(int64_t k) : k_(static_cast<size_t>(k)) {}

  // No hit with a lower score can enter any more.
  float threshold() const { return threshold_; }
  void push(float score, int64_t position) {
    if (score < threshold_) return;
    hits_.push_back({ordered_score(score), position});
    if (hits_.size() >= k_ + k_ / 4 + kSpare) settle();
  }
  void merge(const Reservoir& other) {
    for (const Hit& hit : other.hits_) push(hit.score, hit.position);
  }
  // Drops all but the best k, which sets the threshold to the k-th best.
  void settle() {
    if (hits_.size() < k_) return;
    const auto kth = hits_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
    std::nth_element(hits_.begin(), kth, hits_.end(), [](const Hit& a, const Hit& b) { return a.before(b); });
    threshold_ = kth->score;
    hits_.resize(k_);
  }
  void write(float* scores, int64_t* positions) {
    settle();
    write_hits(hits_, k_, scores, positions);
  }

 private:
  static constexpr size_t kSpare = 32;
  size_t k_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Hit> hits_;
};

}  // namespace cluscomp
