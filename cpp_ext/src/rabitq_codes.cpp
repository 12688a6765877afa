#include "cluscomp/rabitq_codes.h"

#include "bit_plane_tables.h"

namespace cluscomp {
namespace {

class RabitqScorer final : public Scorer {
 public:
  RabitqScorer(const RabitqCodes& codes, const float* coarse, Metric metric)
      : codes_(&codes), coarse_(coarse), tables_(codes.form(), metric, 0) {}
  void set_query(const float* query) override {
    list_ = -1;
    tables_.fill(query, false, false);
    if (!coarse_) tables_.enter(nullptr, nullptr);
  }
  void attach(const Codes& codes) override { codes_ = static_cast<const RabitqCodes*>(&codes); }
  void enter_list(int64_t list) override {
    if (!coarse_ || list == list_) return;
    list_ = list;
    tables_.enter(coarse_ + list * codes_->dim(), nullptr);
  }
  int64_t row_bytes() const override { return codes_->form().row_bytes(); }
  void prefetch(const Codes& codes, int64_t row) const override {
    prefetch_bytes(static_cast<const RabitqCodes&>(codes).row(row), row_bytes());
  }
  void score(int64_t row, int64_t n, float /*needed*/, float* out) override {
    for (int64_t i = 0; i < n; ++i) out[i] = tables_.score(codes_->row(row + i));
  }

 private:
  const RabitqCodes* codes_;
  const float* coarse_;
  BitPlaneTables tables_;
  int64_t list_ = -1;  // that was entered last
};

}  // namespace

std::unique_ptr<Scorer> RabitqCodes::scorer(Metric metric, const float* coarse) const {
  return std::make_unique<RabitqScorer>(*this, coarse, metric);
}

bool RabitqCodes::same_form(const Codes& other) const {
  const auto* codes = dynamic_cast<const RabitqCodes*>(&other);
  return codes && &codes->form_ == &form_ && codes->interleaved_ == interleaved_;
}

void RabitqCodes::scan(const Parts& parts, const ScanCall& call, const HitArrays& out) const {
  interleaved_ ? scan_rabitq(parts, call, out) : scan_lists(parts, call, out);
}

}  // namespace cluscomp
