#include "cluscomp/float_codes.h"

#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

constexpr int64_t kBytesAhead = 8192;  // rows that are asked for before they are needed

class RowsScorer : public Scorer {
 public:
  RowsScorer(const RowsView& rows, Metric metric) : rows_(rows), metric_(metric) {}
  void set_query(const float* query) override { query_ = query; }
  int64_t together() const override { return 256; }
  int64_t row_bytes() const override { return rows_.d * rows_.element_size(); }
  void prefetch(int64_t row) const override { prefetch_bytes(rows_.row(row), row_bytes()); }
  void score(int64_t row, int64_t n, float /*needed*/, float* out) override {
    const int64_t far = rows_in(kBytesAhead, row_bytes());
    for (int64_t i = 0; i < n; ++i) {
      if (i + far < n) prefetch(row + i + far);
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

}  // namespace

std::unique_ptr<Scorer> FloatCodes::scorer(Metric metric, const float* /*coarse*/) const {
  return std::make_unique<RowsScorer>(view_, metric);
}

void FloatCodes::decode(int64_t first, int64_t n, float* out) const {
  load_rows(view_, first, first + n, out, view_.d);
}

}  // namespace cluscomp
