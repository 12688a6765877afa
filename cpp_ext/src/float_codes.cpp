#include "cluscomp/float_codes.h"

#include "cluscomp/kernels.h"
#include "cluscomp/prescreen.h"

namespace cluscomp {
namespace {

constexpr int64_t kBytesAhead = 8192;  // rows that are asked for before they are needed

class RowsScorer final : public Scorer {
 public:
  RowsScorer(const RowsView& rows, Metric metric) : rows_(rows), metric_(metric) {}
  void set_query(const float* query) override { query_ = query; }
  void attach(const Codes& codes) override { rows_ = view_of(codes); }
  int64_t together() const override { return 256; }
  int64_t row_bytes() const override { return rows_.d * rows_.element_size(); }
  void prefetch(const Codes& codes, int64_t row) const override {
    prefetch_bytes(view_of(codes).row(row), row_bytes());
  }
  void score(int64_t row, int64_t n, float /*needed*/, float* out) override {
    const int64_t far = rows_in(kBytesAhead, row_bytes());
    for (int64_t i = 0; i < n; ++i) {
      if (i + far < n) prefetch_bytes(rows_.row(row + i + far), row_bytes());
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

  static const RowsView& view_of(const Codes& codes) { return static_cast<const FloatCodes&>(codes).view(); }
};

}  // namespace

std::unique_ptr<Scorer> FloatCodes::scorer(Metric metric, const float* /*coarse*/) const {
  return std::make_unique<RowsScorer>(view_, metric);
}

bool FloatCodes::same_form(const Codes& other) const {
  const auto* floats = dynamic_cast<const FloatCodes*>(&other);
  return floats && floats->view_.type == view_.type && floats->view_.d == view_.d;
}

void FloatCodes::scan(const Parts& parts, const ScanCall& call, const HitArrays& out) const {
  for (int64_t i = 0; i < parts.count(); ++i)
    if (static_cast<const FloatCodes&>(*parts[i].codes).prescreened()) return scan_prescreened(parts, call, out);
  scan_lists(parts, call, out);
}

void FloatCodes::decode(int64_t first, int64_t n, float* out) const {
  load_rows(view_, first, first + n, out, view_.d);
}

}  // namespace cluscomp
