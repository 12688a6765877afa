// The rows of the blocks that a query opens, each once, with their entries on the way from memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "cluscomp/skip_bits.h"
#include "cluscomp/term_blocks.h"
#include "forward_rows.h"

namespace cluscomp {

class UnseenRows {
 public:
  // A new query, which has seen no row.
  void start(int64_t n_rows) {
    if (static_cast<int64_t>(seen_.size()) < n_rows) seen_.resize(static_cast<size_t>(n_rows), 0);
    if (++mark_ == 0) {
      std::fill(seen_.begin(), seen_.end(), uint8_t{0});
      mark_ = 1;
    }
  }

  void clear() {
    rows_.clear();
    stops_.clear();
    first_ = taken_ = 0;
  }

  // Rows that were read and not taken.
  size_t waiting() const { return rows_.size() - first_; }

  // Takes up the rows of a block that were not seen, but for skipped ones, and asks memory for their entries.
  void read(const ForwardRows& x, const TermBlocks& b, int64_t block, SkipBits skip) {
    const int64_t first = b.block_starts[block], stop = b.block_starts[block + 1];
    if (first < 0 || stop < first || stop > b.n_places) damaged_blocks("the start of a block");
    size_t n = rows_.size();
    rows_.resize(n + static_cast<size_t>(stop - first));
    for (int64_t i = first; i < stop; ++i) {
      const int32_t row = b.block_rows[i];
      if (row < 0 || row >= x.n_rows) damaged_blocks("a row of a block");
      uint8_t& seen = seen_[static_cast<size_t>(row)];
      rows_[n] = row;
      n += (seen != mark_) & !skip[row];
      seen = mark_;
      fetch_entries(x, row);
    }
    rows_.resize(n);
    stops_.push_back(n);
  }

  // The rows of the first block that was read and not taken, in order.
  std::span<const int32_t> next() {
    const size_t first = first_;
    first_ = stops_[taken_++];
    return {rows_.data() + first, first_ - first};
  }

 private:
  std::vector<uint8_t> seen_;  // mark_ for the rows that this query has seen
  uint8_t mark_ = 0;
  std::vector<int32_t> rows_;
  std::vector<size_t> stops_;  // of the rows of each block
  size_t first_ = 0, taken_ = 0;
};

}  // namespace cluscomp
