// Asymmetric distances to product-quantized rows: look-up tables summed over the codes of a row.
//
// 4-bit codes that were interleaved are first bounded from above by 7-bit tables through byte shuffles, 32 rows at a
// time; only rows whose bound reaches the k-th best score are summed exactly. The result is that of the exact scan.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"
#include "cluscomp/scan.h"

namespace cluscomp {
namespace {

constexpr float kTableMax = 127.0f;

// Upper bounds of float tables in 7 bits: entry <= low + step * byte, so sum <= base + step * (sum of bytes).
class ByteTables {
 public:
  // sign: 1 when a larger sum is better, -1 when a smaller one is (the tables then count negated).
  void fill(const float* tables, int64_t m, float sign) {
    const int64_t bytes = (m + 1) / 2;
    values_.assign(static_cast<size_t>((bytes + 1) / 2 * 128), 0);
    double base = 0, magnitude = 0;
    float step = 0;
    lows_.resize(static_cast<size_t>(m));
    for (int64_t s = 0; s < m; ++s) {
      float low = std::numeric_limits<float>::infinity(), high = -low;
      for (int v = 0; v < 16; ++v) {
        low = std::min(low, sign * tables[s * 16 + v]);
        high = std::max(high, sign * tables[s * 16 + v]);
      }
      lows_[s] = low;
      step = std::max(step, (high - low) / kTableMax);
      base += static_cast<double>(low);
      magnitude += static_cast<double>(std::max(std::fabs(low), std::fabs(high)));
    }
    usable_ = std::isfinite(step) && std::isfinite(base) && bytes <= kMaxFourBitBytes;
    if (!usable_) return;
    step_ = step > 0 ? step * 1.000001f : 1.0f;
    base_ = base;
    // float32 sums of m entries are off by at most this much
    slack_ = magnitude * static_cast<double>(m + 2) * 0x1p-24;
    for (int64_t s = 0; s < m; ++s)
      for (int v = 0; v < 16; ++v) store(s, v, std::ceil((sign * tables[s * 16 + v] - lows_[s]) / step_));
  }
  bool usable() const { return usable_; }
  const uint8_t* values() const { return values_.data(); }

  // Smallest sum of bytes that a row with a score of `threshold` can have; offset: what is added to every sum.
  double needed(float threshold, float offset) const {
    const double value = static_cast<double>(threshold) - static_cast<double>(offset);
    const double rounding = slack_ + 0x1p-22 * (std::fabs(value) + std::fabs(static_cast<double>(offset)));
    return (value - base_ - rounding) / static_cast<double>(step_);
  }

 private:
  std::vector<uint8_t> values_;  // the layout of Kernels::reach_u4
  std::vector<float> lows_;
  float step_ = 1;
  double base_ = 0, slack_ = 0;
  bool usable_ = false;

  void store(int64_t s, int v, float value) {
    const int64_t byte = s / 2;
    uint8_t* at = values_.data() + (byte / 2) * 128 + (s % 2) * 64 + (byte % 2) * 32 + v;
    at[0] = at[16] = static_cast<uint8_t>(std::min(kTableMax, value));
  }
};

class PqScorer : public Scorer {
 public:
  PqScorer(const PqCodebook& book, const uint8_t* codes, const float* coarse, const int64_t* offsets, Metric metric)
      : kern_(kernels()), book_(book), codes_(codes), coarse_(coarse), offsets_(offsets), metric_(metric),
        tables_(static_cast<size_t>(book.m() * book.ksub())), residual_(static_cast<size_t>(book.d())) {
    if (book.nbits() == 4) pairs_.resize(static_cast<size_t>(book.code_size() * 256));
  }
  void set_query(const float* query) override {
    query_ = query;
    if (metric_ == Metric::ip || !coarse_) fill(query);
  }
  // With residual codes <q, c + r> = <q, c> + <q, r>: one table serves all lists. |q - c - r|^2 needs one a list.
  void enter_list(int64_t list) override {
    if (offsets_) list_begin_ = offsets_[list], list_end_ = offsets_[list + 1];
    if (!coarse_) return;
    const float* centroid = coarse_ + list * book_.d();
    if (metric_ == Metric::ip) {
      base_ = kern_.dot(query_, centroid, RowType::f32, book_.d());
      return;
    }
    for (int64_t j = 0; j < book_.d(); ++j) residual_[j] = query_[j] - centroid[j];
    fill(residual_.data());
  }
  void score(int64_t row, int64_t n, float* out) override {
    const uint8_t* codes = codes_ + row * book_.code_size();
    if (offsets_) {
      for (int64_t i = 0; i < n; ++i) out[i] = sum_interleaved(row + i);
    } else if (book_.nbits() == 8) {
      sum_bytes(tables_.data(), codes, n, out);
    } else if (book_.nbits() == 4) {
      sum_bytes(pairs_.data(), codes, n, out);
    } else {
      sum_packed(codes, n, out);
    }
    if (metric_ == Metric::l2)
      for (int64_t i = 0; i < n; ++i) out[i] = -out[i];
  }
  int64_t may_reach(int64_t row, int64_t n, float threshold, int32_t* out) override {
    if (!offsets_ || !bounds_.usable()) return -1;
    const double needed = bounds_.needed(threshold, metric_ == Metric::ip ? base_ : 0.0f);
    if (needed > 65535) return 0;
    const auto limit = static_cast<uint16_t>(std::max(0.0, std::ceil(needed)));
    int64_t found = 0, at = row;
    for (; at < row + n && group_of(at); at += kGroupRows) {
      uint32_t mask = kern_.reach_u4(group_of(at), bounds_.values(), book_.code_size(), limit);
      if (at + kGroupRows > row + n) mask &= (1u << (row + n - at)) - 1u;
      for (; mask; mask &= mask - 1) out[found++] = static_cast<int32_t>(at - row + __builtin_ctz(mask));
    }
    for (; at < row + n; ++at) out[found++] = static_cast<int32_t>(at - row);  // the end of the list
    return found;
  }

 private:
  const Kernels& kern_;
  const PqCodebook& book_;
  const uint8_t* codes_;
  const float* coarse_;
  const int64_t* offsets_;
  Metric metric_;
  std::vector<float> tables_, pairs_, residual_;
  ByteTables bounds_;
  const float* query_ = nullptr;
  float base_ = 0;
  int64_t list_begin_ = 0, list_end_ = 0;

  void fill(const float* query) {
    book_.tables(query, metric_, tables_.data());
    if (offsets_) bounds_.fill(tables_.data(), book_.m(), metric_ == Metric::ip ? 1.0f : -1.0f);
    if (pairs_.empty()) return;
    // A byte holds two 4-bit codes: one table of 256 sums a byte halves the look-ups.
    for (int64_t byte = 0; byte < book_.code_size(); ++byte) {
      const float* low = tables_.data() + 2 * byte * 16;
      const bool last = 2 * byte + 1 == book_.m();
      for (int64_t v = 0; v < 256; ++v) pairs_[byte * 256 + v] = low[v % 16] + (last ? 0.0f : low[16 + v / 16]);
    }
  }
  // First byte of the interleaved group that starts at `row`, or null where fewer than 32 rows are left in the list.
  const uint8_t* group_of(int64_t row) const {
    const int64_t first = row - (row - list_begin_) % kGroupRows;
    return first + kGroupRows <= list_end_ ? codes_ + first * book_.code_size() : nullptr;
  }
  float sum_interleaved(int64_t row) const {
    const uint8_t* group = group_of(row);
    const uint8_t* code = group ? group + (row - list_begin_) % kGroupRows : codes_ + row * book_.code_size();
    const int64_t step = group ? kGroupRows : 1;
    float sum = base_;
    for (int64_t j = 0; j < book_.code_size(); ++j) sum += pairs_[j * 256 + code[j * step]];
    return sum;
  }
  // Four rows at a time, so that the additions of one do not wait for those of another.
  void sum_bytes(const float* tables, const uint8_t* codes, int64_t n, float* out) const {
    const int64_t bytes = book_.code_size();
    int64_t i = 0;
    for (; i + 4 <= n; i += 4, codes += 4 * bytes) {
      float s0 = base_, s1 = base_, s2 = base_, s3 = base_;
      const float* table = tables;
      for (int64_t j = 0; j < bytes; ++j, table += 256) {
        s0 += table[codes[j]];
        s1 += table[codes[bytes + j]];
        s2 += table[codes[2 * bytes + j]];
        s3 += table[codes[3 * bytes + j]];
      }
      out[i] = s0;
      out[i + 1] = s1;
      out[i + 2] = s2;
      out[i + 3] = s3;
    }
    for (; i < n; ++i, codes += bytes) {
      float sum = base_;
      for (int64_t j = 0; j < bytes; ++j) sum += tables[j * 256 + codes[j]];
      out[i] = sum;
    }
  }
  void sum_packed(const uint8_t* codes, int64_t n, float* out) const {
    for (int64_t i = 0; i < n; ++i, codes += book_.code_size()) {
      float sum = base_;
      for (int64_t j = 0; j < book_.m(); ++j)
        sum += tables_[j * book_.ksub() + unpack_code(codes, j, book_.nbits())];
      out[i] = sum;
    }
  }
};

void transpose(const uint8_t* in, int64_t rows, int64_t columns, uint8_t* out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) out[c * rows + r] = in[r * columns + c];
}

}  // namespace

ScorerFactory pq_scorer(const PqCodebook& codebook, const uint8_t* codes, const float* coarse, const int64_t* offsets,
                        Metric metric) {
  return [=, &codebook] { return std::make_unique<PqScorer>(codebook, codes, coarse, offsets, metric); };
}

void interleave_codes(uint8_t* codes, int64_t bytes, const int64_t* offsets, int64_t n_lists, bool undo) {
  parallel_for(n_lists, 16, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> group(static_cast<size_t>(kGroupRows * bytes));
    for (int64_t list = begin; list < end; ++list)
      for (int64_t row = offsets[list]; row + kGroupRows <= offsets[list + 1]; row += kGroupRows) {
        uint8_t* at = codes + row * bytes;
        std::copy_n(at, kGroupRows * bytes, group.data());
        undo ? transpose(group.data(), bytes, kGroupRows, at) : transpose(group.data(), kGroupRows, bytes, at);
      }
  });
}

}  // namespace cluscomp
