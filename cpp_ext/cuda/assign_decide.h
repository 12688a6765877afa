// The decision of assignment: the pairs that the filter (assign_filter.h) leaves open, in float64.
#pragma once

#include "assign_sums.h"

namespace cluscomp::cuda {

// One warp a row decides its open pairs; a row whose bounds do not suffice gets the whole block.
template <class T>
struct Decide {
  Vectors<T> rows;
  Vectors<float> centroids;
  const float* mean;
  Shape shape;
  bool l2;
  const float* bounds;
  const int32_t* candidates;
  int32_t* labels;  // (n, groups)
  float* scores;    // likewise, or null

  struct Choice {
    double value, score;  // the objective, larger is better; what the caller gets
    int64_t label;
    CLUSCOMP_DEVICE void consider(const Choice& other) {
      if (label < 0 || other.value > value || (other.value == value && other.label < label)) *this = other;
    }
  };
  struct Shared {
    double part[kThreads];
    double row_term[kWarps];
    Choice best[kWarps], found[kWarps];
    bool open[kWarps];
  };

  CLUSCOMP_DEVICE void operator()(Block& block) const {
    Shared& s = *reinterpret_cast<Shared*>(block.shared);
    const int64_t padded = shape.padded_rows(), first = block.index * kWarps, group = first / padded;
    const int64_t first_row = first % padded;  // a block has rows of one group: kWarps divides kTile
    if (first_row >= shape.n) return;
    block.threads([&](int t) {  // the row's own term, which the bounds leave out
      s.part[t] = 0;
      if (first_row + t / 32 < shape.n)
        s.part[t] = lane_part(rows.at(group, first_row + t / 32), mean + group * shape.d, shape.d, t % 32, l2);
    });
    block.threads([&](int t) {
      if (t % 32 != 0) return;
      s.row_term[t / 32] = l2 ? 0.5 * fold(s.part + t) : -fold(s.part + t);
      s.best[t / 32] = {-INFINITY, 0, -1};
      s.open[t / 32] = false;
    });
    for (int i = 0; i <= kKept; ++i) {
      block.threads([&](int t) {
        if (t % 32 == 0)
          s.open[t / 32] = is_open(first + t / 32, first_row + t / 32, i, s.row_term[t / 32], s.best[t / 32]);
      });
      if (i == kKept) break;
      block.threads([&](int t) {
        if (s.open[t / 32])
          s.part[t] = compare(group, first_row + t / 32, candidates[(first + t / 32) * kKept + i], t % 32);
      });
      block.threads([&](int t) {
        if (t % 32 == 0 && s.open[t / 32])
          s.best[t / 32].consider(choice(s.part + t, candidates[(first + t / 32) * kKept + i]));
      });
    }
    for (int row = 0; row < kWarps; ++row)
      if (s.open[row]) compare_all(block, s, group, first_row + row, row);
    block.threads([&](int t) {
      const int64_t row = first_row + t / 32;
      if (t % 32 != 0 || row >= shape.n) return;
      labels[row * shape.groups + group] = static_cast<int32_t>(s.best[t / 32].label);
      if (scores) scores[row * shape.groups + group] = static_cast<float>(s.best[t / 32].score);
    });
  }

 private:
  // Whether the pair of the i-th bound (or, for i = kKept, any pair that was not kept) can still win.
  CLUSCOMP_DEVICE bool is_open(int64_t vector, int64_t row, int i, double row_term, const Choice& best) const {
    if (row >= shape.n || (i < kKept && !is_centroid(candidates[vector * kKept + i]))) return false;
    if (i < kKept && best.label < 0) return true;
    const double limit = best.value + row_term - 0x1p-40 * (fabs(best.value) + fabs(row_term));
    return !(static_cast<double>(bounds[vector * (kKept + 1) + i]) < limit);
  }
  // Of few centroids nothing may have been kept; where centred values overflow, even padding has no bound.
  CLUSCOMP_DEVICE bool is_centroid(int32_t label) const { return label >= 0 && label < shape.k; }
  CLUSCOMP_DEVICE double compare(int64_t group, int64_t row, int64_t label, int lane) const {
    return lane_part(rows.at(group, row), centroids.at(group, label), shape.d, lane, l2);
  }
  CLUSCOMP_DEVICE Choice choice(const double* lanes, int64_t label) const {
    const double score = fold(lanes);
    return {l2 ? -0.5 * score : score, score, label};
  }
  CLUSCOMP_DEVICE void compare_all(Block& block, Shared& s, int64_t group, int64_t row, int slot) const {
    block.threads([&](int t) {
      if (t % 32 == 0) s.found[t / 32] = {-INFINITY, 0, -1};
    });
    for (int64_t at = 0; at < shape.k; at += kWarps) {
      block.threads([&](int t) {
        if (at + t / 32 < shape.k) s.part[t] = compare(group, row, at + t / 32, t % 32);
      });
      block.threads([&](int t) {
        if (t % 32 == 0 && at + t / 32 < shape.k) s.found[t / 32].consider(choice(s.part + t, at + t / 32));
      });
    }
    block.threads([&](int t) {
      for (int i = 0; t == 0 && i < kWarps; ++i)
        if (s.found[i].label >= 0) s.best[slot].consider(s.found[i]);
    });
  }
};

}  // namespace cluscomp::cuda
