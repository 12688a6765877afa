// Rows as product codes: the numbers of their codewords, packed as pq.h says.
#pragma once

#include "cluscomp/codes.h"
#include "cluscomp/pq.h"

namespace cluscomp {

// How codes lie: row by row; or, of 4-bit codes, in groups that went through interleave_codes, either list by list or
// with all rows as one list. Groups can only be scanned.
enum class PqLayout { rows, groups, groups_across_lists };

class PqCodes : public Codes {
 public:
  // codes: (n, code_size).
  PqCodes(const PqCodebook& book, const uint8_t* codes, int64_t n, PqLayout layout)
      : Codes(n, book.d()), book_(book), codes_(codes), layout_(layout) {}

  const PqCodebook& book() const { return book_; }
  const uint8_t* row(int64_t i) const { return codes_ + i * book_.code_size(); }

  bool same_form(const Codes& other) const override;
  bool takes_residuals() const override { return true; }
  bool by_row() const override { return layout_ == PqLayout::rows; }
  // Asymmetric distances (Jegou et al. 2011): look-up tables summed over the codes of a row.
  std::unique_ptr<Scorer> scorer(Metric metric, const float* coarse) const override;
  void decode(int64_t first, int64_t n, float* out) const override { book_.decode(row(first), n, out); }
  void scan(const Parts& parts, const ScanCall& call, const HitArrays& out) const override;

 private:
  const PqCodebook& book_;
  const uint8_t* codes_;
  PqLayout layout_;
};

}  // namespace cluscomp
