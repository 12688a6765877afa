// How stored rows of one form are scored against a query. Scores are "larger is better": inner product, or negative
// squared distance.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cluscomp/parts.h"
#include "cluscomp/rows.h"
#include "cluscomp/topk.h"

namespace cluscomp {

// Scores stored rows against one query. One object serves one thread.
class Scorer {
 public:
  virtual ~Scorer() = default;
  virtual void set_query(const float* query) = 0;
  // Rows are those of these codes from now on, which have the form of those that made the scorer.
  virtual void attach(const Codes& codes) = 0;
  virtual void enter_list(int64_t /*list*/) {}
  virtual void prefetch(const Codes& /*codes*/, int64_t /*row*/) const {}
  // Bytes of one row that `prefetch` asks for; 0 = none.
  virtual int64_t row_bytes() const { return 0; }
  // A row that cannot score `needed` may get -infinity.
  virtual void score(int64_t row, int64_t n, float needed, float* out) = 0;
  // Keeps the best of n given rows, of which those without codes are none; `ahead` more behind them are read next.
  virtual void rescore(const Parts::Place* rows, int64_t n, int64_t ahead, TopK& best);
  // How many queries may share one pass over the rows; more than 1 pays when rows are wide and scorers small.
  virtual int64_t together() const { return 1; }

 protected:
  // each(place) for the n rows, of which some kilobytes are on their way while earlier ones are scored.
  template <class Each>
  void for_rows(const Parts::Place* rows, int64_t n, int64_t ahead, Each each) const {
    const int64_t distance = row_bytes() ? std::clamp<int64_t>(rows_in(6144, row_bytes()), 4, 16) : n + ahead;
    for (int64_t i = 0; i < n; ++i) {
      if (i + distance < n + ahead && rows[i + distance].codes)
        prefetch(*rows[i + distance].codes, rows[i + distance].row);
      if (rows[i].codes) each(rows[i]);
    }
  }
};

}  // namespace cluscomp
