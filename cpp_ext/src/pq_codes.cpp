#include "cluscomp/pq_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cluscomp/interleaved_codes.h"
#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

class PqScorer final : public Scorer {
 public:
  PqScorer(const PqCodebook& book, const uint8_t* codes, const float* coarse, Metric metric)
      : kern_(kernels()),
        book_(book),
        codes_(codes),
        coarse_(coarse),
        metric_(metric),
        tables_(static_cast<size_t>(book.m() * book.ksub())),
        residual_(static_cast<size_t>(book.d())) {
    if (book.nbits() == 4) pairs_.resize(static_cast<size_t>(book.code_size() * 256));
  }
  void set_query(const float* query) override {
    query_ = query;
    list_ = -1;
    if (metric_ == Metric::ip || !coarse_) fill(query);
  }
  void attach(const Codes& codes) override { codes_ = static_cast<const PqCodes&>(codes).row(0); }
  // With residual codes <q, c + r> = <q, c> + <q, r>: one table serves all lists. |q - c - r|^2 needs one a list.
  void enter_list(int64_t list) override {
    if (!coarse_ || list == list_) return;
    list_ = list;
    const float* centroid = coarse_ + list * book_.d();
    if (metric_ == Metric::ip) {
      base_ = kern_.dot(query_, centroid, RowType::f32, book_.d());
      return;
    }
    for (int64_t j = 0; j < book_.d(); ++j) residual_[j] = query_[j] - centroid[j];
    fill(residual_.data());
  }
  void score(int64_t row, int64_t n, float /*needed*/, float* out) override {
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
  int64_t list_ = -1;  // that was entered last

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
      for (int64_t j = 0; j < book_.m(); ++j) sum += tables_[j * book_.ksub() + unpack_code(codes, j, book_.nbits())];
      out[i] = sum;
    }
  }
};

}  // namespace

std::unique_ptr<Scorer> PqCodes::scorer(Metric metric, const float* coarse) const {
  return std::make_unique<PqScorer>(book_, codes_, coarse, metric);
}

bool PqCodes::same_form(const Codes& other) const {
  const auto* codes = dynamic_cast<const PqCodes*>(&other);
  return codes && &codes->book_ == &book_ && codes->layout_ == layout_;
}

void PqCodes::scan(const Parts& parts, const ScanCall& call, const HitArrays& out) const {
  switch (layout_) {
    case PqLayout::rows: return scan_lists(parts, call, out);
    case PqLayout::groups: return scan_interleaved(parts, call, out);
    case PqLayout::groups_across_lists: return scan_across_lists(parts, call, out);
  }
}

}  // namespace cluscomp
