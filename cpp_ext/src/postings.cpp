#include "cluscomp/postings.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "best_hits.h"
#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

[[noreturn]] void damaged(int64_t list) {
  throw std::out_of_range("the chunks of term " + std::to_string(list) + " are damaged");
}

// Weights of consecutive postings as floats: n of them from `at` on, at most kRangeRows.
const float* as_floats(const Postings& x, const void* from, int64_t at, int64_t n, float* buffer) {
  if (x.type == WeightType::f32) return static_cast<const float*>(from) + at;
  if (x.type == WeightType::f16) {
    kernels().load_f16(static_cast<const uint16_t*>(from) + at, buffer, n);
    return buffer;
  }
  const uint8_t* codes = static_cast<const uint8_t*>(from) + at;
  for (int64_t i = 0; i < n; ++i) buffer[i] = static_cast<float>(codes[i]);
  return buffer;
}

struct Chunk {
  int64_t start;  // first posting
  int32_t count, range;
};

// Calls use(chunk, number of the chunk) for the chunks of a term, checked, in order.
template <class Use>
void for_each_chunk(const Postings& x, int64_t list, const Use& use) {
  if (list < 0 || list >= x.n_lists) throw std::out_of_range("a term does not exist");
  const int64_t ranges = (x.n_rows + kRangeRows - 1) / kRangeRows, stop = x.list_starts[list + 1];
  int64_t start = x.list_starts[list], before = -1;
  for (int64_t c = x.list_chunks[list]; c < x.list_chunks[list + 1]; ++c) {
    const int64_t range = x.wide ? static_cast<const int32_t*>(x.chunk_numbers)[c]
                                 : static_cast<int64_t>(static_cast<const uint16_t*>(x.chunk_numbers)[c]);
    const int64_t count = x.chunk_sizes[c] + int64_t{1};
    if (range <= before || range >= ranges || count > stop - start) damaged(list);
    use(Chunk{start, static_cast<int32_t>(count), static_cast<int32_t>(range)}, c);
    before = range;
    start += count;
  }
  if (start != stop) damaged(list);
}

// The largest weights of chunks, some at a time.
class Maxima {
 public:
  explicit Maxima(const Postings& x) : x_(x) {}
  float at(int64_t c) {
    if (c < first_ || c >= first_ + kRangeRows) {
      first_ = c;
      values_ = as_floats(x_, x_.chunk_maxima, c, std::min(kRangeRows, x_.n_chunks - c), buffer_);
    }
    return values_[c - first_];
  }

 private:
  const Postings& x_;
  int64_t first_ = std::numeric_limits<int64_t>::min() / 2;
  const float* values_ = nullptr;
  float buffer_[kRangeRows];
};

// What one thread holds while it searches.
class Search {
 public:
  Search(const Postings& x, SkipBits skip, int64_t k)
      : x_(x),
        skip_(skip),
        best_(k),
        bounds_(static_cast<size_t>((x.n_rows + kRangeRows - 1) / kRangeRows)),
        starts_(bounds_.size() + 1) {}

  void run(const int64_t* lists, const float* weights, int64_t m, float* scores, int64_t* positions) {
    gather(lists, weights, m);
    for (const int32_t range : order_) {
      // Rounding is monotonic and bounds are sums in the same order: a row never scores above the bound of its range.
      if (best_.full() && bounds_[static_cast<size_t>(range)] < best_.least()) break;
      score(range);
    }
    best_.write(scores, positions);
  }

 private:
  struct Entry {
    int64_t start;
    int32_t count;
    float weight;
  };

  // Bounds of all ranges, and the chunks of the query by range, in the order of its terms.
  void gather(const int64_t* lists, const float* weights, int64_t m) {
    std::fill(bounds_.begin(), bounds_.end(), 0.0f);
    std::fill(starts_.begin(), starts_.end(), 0);
    Maxima maxima(x_);
    for (int64_t j = 0; j < m; ++j)
      for_each_chunk(x_, lists[j], [&](const Chunk& chunk, int64_t c) {
        const auto range = static_cast<size_t>(chunk.range);
        bounds_[range] += weights[j] * maxima.at(c);
        ++starts_[range + 1];
      });
    std::partial_sum(starts_.begin(), starts_.end(), starts_.begin());
    entries_.resize(static_cast<size_t>(starts_.back()));
    next_.assign(starts_.begin(), starts_.end());
    for (int64_t j = 0; j < m; ++j)
      for_each_chunk(x_, lists[j], [&](const Chunk& chunk, int64_t) {
        const int64_t at = next_[static_cast<size_t>(chunk.range)]++;
        entries_[static_cast<size_t>(at)] = {chunk.start, chunk.count, weights[j]};
      });
    order_.clear();
    for (size_t range = 0; range < bounds_.size(); ++range)
      if (starts_[range] < starts_[range + 1]) order_.push_back(static_cast<int32_t>(range));
    std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) {
      return bounds_[static_cast<size_t>(a)] > bounds_[static_cast<size_t>(b)];
    });
  }

  void score(int32_t range) {
    std::fill(sums_, sums_ + kRangeRows, 0.0f);
    for (int64_t e = starts_[static_cast<size_t>(range)]; e < starts_[static_cast<size_t>(range) + 1]; ++e) {
      const Entry& entry = entries_[static_cast<size_t>(e)];
      const float* values = as_floats(x_, x_.weights, entry.start, entry.count, buffer_);
      const uint8_t* rows = x_.rows + entry.start;
      for (int32_t i = 0; i < entry.count; ++i) sums_[rows[i]] += entry.weight * values[i];
    }
    const int64_t first = range * kRangeRows, n = std::min(kRangeRows, x_.n_rows - first);
    for (int64_t i = 0; i < n; ++i) {
      if (!(sums_[i] > 0) || (best_.full() && sums_[i] < best_.least())) continue;
      if (skip_[first + i]) continue;
      best_.offer(sums_[i], first + i);
    }
  }

  const Postings& x_;
  SkipBits skip_;
  BestHits best_;
  std::vector<float> bounds_;
  std::vector<int64_t> starts_, next_;
  std::vector<Entry> entries_;
  std::vector<int32_t> order_;
  float sums_[kRangeRows], buffer_[kRangeRows];
};

// Adds one term to the scores of candidates, which ascend by row: (row, place in the output).
void add_term(const Postings& x, int64_t list, float weight, const std::vector<std::pair<int64_t, int64_t>>& wanted,
              float* scores, float* buffer) {
  size_t next = 0;
  for_each_chunk(x, list, [&](const Chunk& chunk, int64_t) {
    const int64_t first = chunk.range * kRangeRows;
    while (next < wanted.size() && wanted[next].first < first) ++next;
    if (next == wanted.size() || wanted[next].first >= first + kRangeRows) return;
    const float* values = as_floats(x, x.weights, chunk.start, chunk.count, buffer);
    int32_t i = 0;
    for (; next < wanted.size() && wanted[next].first < first + kRangeRows; ++next) {
      while (i < chunk.count && first + x.rows[chunk.start + i] < wanted[next].first) ++i;
      if (i < chunk.count && first + x.rows[chunk.start + i] == wanted[next].first)
        scores[wanted[next].second] += weight * values[i];
    }
  });
}

}  // namespace

void search_postings(const Postings& x, const TermQueries& queries, int64_t k, SkipBits skip, float* scores,
                     int64_t* positions) {
  const int64_t grain = std::max<int64_t>(1, std::min<int64_t>(16, queries.n / 64));
  parallel_for(queries.n, grain, [&](int64_t begin, int64_t end) {
    Search search(x, skip, k);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = queries.offsets[i];
      search.run(queries.lists + from, queries.weights + from, queries.offsets[i + 1] - from, scores + i * k,
                 positions + i * k);
    }
  });
}

void score_postings(const Postings& x, const TermQueries& queries, const int64_t* candidates, int64_t m,
                    float* scores) {
  parallel_for(queries.n, 1, [&](int64_t begin, int64_t end) {
    std::vector<std::pair<int64_t, int64_t>> wanted;
    float buffer[kRangeRows];
    for (int64_t i = begin; i < end; ++i) {
      wanted.clear();
      float* out = scores + i * m;
      for (int64_t j = 0; j < m; ++j) {
        const int64_t row = candidates[i * m + j];
        out[j] = row < 0 ? kNothing : 0.0f;
        if (row >= 0) wanted.emplace_back(row, j);
      }
      std::sort(wanted.begin(), wanted.end());
      for (int64_t t = queries.offsets[i]; t < queries.offsets[i + 1]; ++t)
        add_term(x, queries.lists[t], queries.weights[t], wanted, out, buffer);
    }
  });
}

}  // namespace cluscomp
