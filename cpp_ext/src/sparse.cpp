#include "cluscomp/sparse.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kPieceScores = 1 << 18;  // scores that one thread holds: 1 MiB
constexpr int64_t kStrip = 256;            // columns of a panel packed at a time: 64 KiB
constexpr float kNothing = -std::numeric_limits<float>::infinity();

float round_up(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

// The largest movement of a centroid other than c.
struct Movement {
  double largest = 0, next = 0;
  int64_t at = -1;
  Movement(const double* moved, int64_t k) {
    for (int64_t c = 0; c < k; ++c) {
      if (moved[c] > largest || at < 0) {
        next = largest;
        largest = moved[c];
        at = c;
      } else {
        next = std::max(next, moved[c]);
      }
    }
  }
  double without(int64_t c) const { return c == at ? next : largest; }
};

}  // namespace

SparseAssigner::SparseAssigner(const float* centroids, int64_t k, int64_t d)
    : centroids_(centroids), k_(k), d_(d), panels_((k + kSparsePanel - 1) / kSparsePanel) {
  packed_.reset(new float[static_cast<size_t>(panels_ * d * kSparsePanel + kLanes)]);
  while (reinterpret_cast<uintptr_t>(packed_.get() + aligned_) % 64) ++aligned_;
  const int64_t strips = (d + kStrip - 1) / kStrip;
  parallel_for(panels_ * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t panel = at / strips, j0 = at % strips * kStrip, j1 = std::min(d, j0 + kStrip);
      const int64_t lanes = std::min(kSparsePanel, k - panel * kSparsePanel);
      const float* from = centroids + panel * kSparsePanel * d;
      float* to = packed_.get() + aligned_ + panel * d * kSparsePanel;
      for (int64_t j = j0; j < j1; ++j) {
        float* values = to + j * kSparsePanel;
        for (int64_t lane = 0; lane < lanes; ++lane) values[lane] = from[lane * d + j];
        std::fill(values + lanes, values + kSparsePanel, 0.0f);
      }
    }
  });
  std::vector<double> lengths(static_cast<size_t>(k));
  parallel_for(k, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      lengths[c] = std::sqrt(kernels().dot_f64(centroids + c * d, centroids + c * d, d));
  });
  for (double length : lengths) longest_ = std::max(longest_, length);
}

double SparseAssigner::exact(const SparseRows& x, int64_t row, int64_t c) const {
  const float* centroid = centroids_ + c * d_;
  double sum = 0;
  for (int64_t at = x.start[row]; at < x.start[row + 1]; ++at)
    sum += static_cast<double>(x.values[at]) * static_cast<double>(centroid[x.columns[at]]);
  return sum;
}

void SparseAssigner::decide(const SparseRows& x, int64_t row, double norm, float* work, int32_t* open, int32_t* label,
                            float* score, float* other) const {
  const int64_t count = x.start[row + 1] - x.start[row], padded = panels_ * kSparsePanel;
  for (int64_t c = k_; c < padded; ++c) work[c] = kNothing;
  // A sum of m rounded products is off by at most m u / (1 - m u) times the sum of magnitudes, u = 2^-24; twice that is
  // taken, and the smallest normal number per term for what underflows.
  const double terms = static_cast<double>(count);
  const double error = terms * (norm * longest_ * 0x1p-23 + static_cast<double>(std::numeric_limits<float>::min()));
  int64_t first;
  const double top = static_cast<double>(kernels().max_score(work, padded, &first));
  const auto limit = std::nextafter(static_cast<float>(top - 2 * error), kNothing);
  const int64_t n_open = kernels().select(work, padded, limit, open);
  int64_t winner = -1;
  double best = 0, second = -std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < n_open && open[i] < k_; ++i) {
    const double value = exact(x, row, open[i]);
    if (winner < 0 || value > best) {
      if (winner >= 0) second = std::max(second, best);
      best = value;
      winner = open[i];
    } else {
      second = std::max(second, value);
    }
  }
  *label = static_cast<int32_t>(winner);
  *score = static_cast<float>(best);
  if (!other) return;
  // Centroids left out scored below the limit in float32; with one open they are bounded by the runner-up.
  double rest = static_cast<double>(limit);
  if (n_open == 1) {
    work[first] = kNothing;
    rest = static_cast<double>(kernels().max_score(work, padded, &first));
  }
  *other = round_up(std::max(second, rest + error));
}

bool SparseAssigner::settled(const SparseRows& x, int64_t row, double norm, double moved, int32_t label, float* score,
                             float* other) const {
  const double own = exact(x, row, label), terms = static_cast<double>(x.start[row + 1] - x.start[row]);
  *other = round_up(static_cast<double>(*other) + norm * moved * (1 + 0x1p-20));
  if (!(own - terms * norm * longest_ * 0x1p-50 > static_cast<double>(*other))) return false;
  *score = static_cast<float>(own);
  return true;
}

int64_t SparseAssigner::assign(const SparseRows& x, const double* norms, const double* moved, int32_t* labels,
                               float* scores, float* others) const {
  std::atomic<int64_t> total{0};
  const bool carry = moved && others;
  const Movement movement(moved, carry ? k_ : 0);
  const int64_t padded = panels_ * kSparsePanel, piece = std::clamp<int64_t>(kPieceScores / padded, 16, 1024);
  parallel_for(x.n, piece, [&](int64_t begin, int64_t end) {
    static thread_local std::vector<float> work;
    static thread_local std::vector<int32_t> open;
    std::vector<int64_t> rows;
    for (int64_t i = begin; i < end; ++i)
      if (!carry || !settled(x, i, norms[i], movement.without(labels[i]), labels[i], scores + i, others + i))
        rows.push_back(i);
    const auto n_rows = static_cast<int64_t>(rows.size());
    work.resize(static_cast<size_t>(n_rows * padded));
    open.resize(static_cast<size_t>(padded));
    // A panel at a time: what the rows share of it stays in the cache.
    for (int64_t p = 0; p < panels_; ++p)
      for (int64_t r = 0; r < n_rows; ++r)
        kernels().sparse_scores(
            x.columns + x.start[rows[r]], x.values + x.start[rows[r]], x.start[rows[r] + 1] - x.start[rows[r]],
            packed_.get() + aligned_ + p * d_ * kSparsePanel, work.data() + r * padded + p * kSparsePanel);
    for (int64_t r = 0; r < n_rows; ++r) {
      const int64_t i = rows[r];
      decide(x, i, norms[i], work.data() + r * padded, open.data(), labels + i, scores + i,
             others ? others + i : nullptr);
    }
    total.fetch_add(n_rows);
  });
  return total.load();
}

void row_distances(const float* a, const float* b, int64_t n, int64_t d, double* out) {
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = std::sqrt(kernels().l2_f64(a + i * d, b + i * d, d));
  });
}

void sparse_directions(const SparseRows& x, const int32_t* labels, const double* weights, float* centroids, int64_t k) {
  // Counting sort by label keeps row order inside a cluster; each cluster is then summed by one thread.
  std::vector<int64_t> first(static_cast<size_t>(k + 1), 0), order(static_cast<size_t>(x.n));
  for (int64_t i = 0; i < x.n; ++i) ++first[labels[i] + 1];
  for (int64_t c = 0; c < k; ++c) first[c + 1] += first[c];
  std::vector<int64_t> next(first.begin(), first.end() - 1);
  for (int64_t i = 0; i < x.n; ++i) order[next[labels[i]]++] = i;
  parallel_for(k, 1, [&](int64_t begin, int64_t end) {
    std::vector<double> sum(static_cast<size_t>(x.d));
    for (int64_t c = begin; c < end; ++c) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t at = first[c]; at < first[c + 1]; ++at) {
        const int64_t i = order[at];
        for (int64_t p = x.start[i]; p < x.start[i + 1]; ++p)
          sum[x.columns[p]] += weights[i] * static_cast<double>(x.values[p]);
      }
      double squares = 0;
      for (double value : sum) squares += value * value;
      if (!(squares > 0)) continue;
      const double scale = 1 / std::sqrt(squares);
      for (int64_t j = 0; j < x.d; ++j) centroids[c * x.d + j] = static_cast<float>(sum[j] * scale);
    }
  });
}

}  // namespace cluscomp
