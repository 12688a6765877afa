// How one stored row of numbers is scored.
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/scan.h"

namespace cluscomp {
namespace {

void prefetch_bytes(const void* first, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const char*>(first) + i);
}

class RowsScorer : public Scorer {
 public:
  RowsScorer(const RowsView& rows, Metric metric) : rows_(rows), metric_(metric) {}
  void set_query(const float* query) override { query_ = query; }
  int64_t group() const override { return 16; }
  void prefetch(int64_t row) const override { prefetch_bytes(rows_.row(row), rows_.d * rows_.element_size()); }
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
  void prefetch(int64_t row) const override { prefetch_bytes(codes_ + row * d_, d_); }
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

}  // namespace

ScorerFactory rows_scorer(const RowsView& rows, Metric metric) {
  return [=] { return std::make_unique<RowsScorer>(rows, metric); };
}
ScorerFactory sq8_scorer(const uint8_t* codes, const float* vmin, const float* vdiff, int64_t d, Metric metric) {
  return [=] { return std::make_unique<Sq8Scorer>(codes, vmin, vdiff, d, metric); };
}

}  // namespace cluscomp
