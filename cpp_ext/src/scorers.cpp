// How one stored row is scored, by codec.
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/scan.h"

namespace cluscomp {
namespace {

class RowsScorer : public Scorer {
 public:
  RowsScorer(const RowsView& rows, Metric metric) : rows_(rows), metric_(metric) {}
  void set_query(const float* query) override { query_ = query; }
  int64_t group() const override { return 16; }
  void score(int64_t row, int64_t n, float* out) override {
    for (int64_t i = 0; i < n; ++i) {
      const void* stored = rows_.row(row + i);
      out[i] = metric_ == Metric::ip ? kern_.dot(query_, stored, rows_.type, rows_.d)
                                     : -kern_.l2(query_, stored, rows_.type, rows_.d);
    }
  }

 private:
  const Kernels& kern_ = kernels();
  RowsView rows_;
  Metric metric_;
  const float* query_ = nullptr;
};

class Sq8Scorer : public Scorer {
 public:
  Sq8Scorer(const uint8_t* codes, const float* vmin, const float* vdiff, int64_t d, Metric metric)
      : codes_(codes), d_(d), metric_(metric), scale_(vdiff, vdiff + d), zero_(static_cast<size_t>(d)), query_(zero_) {
    for (int64_t j = 0; j < d; ++j) {
      scale_[j] = vdiff[j] / 255.0f;
      zero_[j] = vmin[j] + 0.5f * scale_[j];
    }
  }
  void set_query(const float* query) override {
    double base = 0;
    for (int64_t j = 0; j < d_; ++j) {
      base += static_cast<double>(query[j]) * static_cast<double>(zero_[j]);
      query_[j] = metric_ == Metric::ip ? query[j] * scale_[j] : query[j] - zero_[j];
    }
    base_ = static_cast<float>(base);
  }
  int64_t group() const override { return 16; }
  void score(int64_t row, int64_t n, float* out) override {
    for (int64_t i = 0; i < n; ++i) {
      const uint8_t* code = codes_ + (row + i) * d_;
      out[i] = metric_ == Metric::ip ? base_ + kern_.dot_u8(query_.data(), code, d_)
                                     : -kern_.l2_u8(query_.data(), scale_.data(), code, d_);
    }
  }

 private:
  const Kernels& kern_ = kernels();
  const uint8_t* codes_;
  int64_t d_;
  Metric metric_;
  std::vector<float> scale_, zero_, query_;
  float base_ = 0;
};

class PqScorer : public Scorer {
 public:
  PqScorer(const PqCodebook& book, const uint8_t* codes, const float* coarse, Metric metric)
      : kern_(kernels()), book_(book), codes_(codes), coarse_(coarse), metric_(metric),
        tables_(static_cast<size_t>(book.m() * book.ksub())), residual_(static_cast<size_t>(book.d())) {
    if (book.nbits() == 4) pairs_.resize(static_cast<size_t>(book.code_size() * 256));
  }
  void set_query(const float* query) override {
    query_ = query;
    if (metric_ == Metric::ip || !coarse_) fill(query);
  }
  // With residual codes <q, c + r> = <q, c> + <q, r>: one table serves all lists. |q - c - r|^2 needs one a list.
  void enter_list(int64_t list) override {
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
    if (book_.nbits() == 8) {
      sum_bytes(tables_.data(), codes, n, out);
    } else if (book_.nbits() == 4) {
      sum_bytes(pairs_.data(), codes, n, out);
    } else {
      sum_packed(codes, n, out);
    }
    if (metric_ == Metric::l2)
      for (int64_t i = 0; i < n; ++i) out[i] = -out[i];
  }

 private:
  const Kernels& kern_;
  const PqCodebook& book_;
  const uint8_t* codes_;
  const float* coarse_;
  Metric metric_;
  std::vector<float> tables_, pairs_, residual_;
  const float* query_ = nullptr;
  float base_ = 0;

  void fill(const float* query) {
    book_.tables(query, metric_, tables_.data());
    if (pairs_.empty()) return;
    // A byte holds two 4-bit codes: one table of 256 sums a byte halves the look-ups.
    for (int64_t byte = 0; byte < book_.code_size(); ++byte) {
      const float* low = tables_.data() + 2 * byte * 16;
      const bool last = 2 * byte + 1 == book_.m();
      for (int64_t v = 0; v < 256; ++v) pairs_[byte * 256 + v] = low[v % 16] + (last ? 0.0f : low[16 + v / 16]);
    }
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

}  // namespace

ScorerFactory rows_scorer(const RowsView& rows, Metric metric) {
  return [=] { return std::make_unique<RowsScorer>(rows, metric); };
}
ScorerFactory sq8_scorer(const uint8_t* codes, const float* vmin, const float* vdiff, int64_t d, Metric metric) {
  return [=] { return std::make_unique<Sq8Scorer>(codes, vmin, vdiff, d, metric); };
}
ScorerFactory pq_scorer(const PqCodebook& codebook, const uint8_t* codes, const float* coarse, Metric metric) {
  return [=, &codebook] { return std::make_unique<PqScorer>(codebook, codes, coarse, metric); };
}

}  // namespace cluscomp
