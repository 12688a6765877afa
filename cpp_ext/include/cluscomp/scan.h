// Search: score every row of the probed lists with a scorer and keep the best k. An index without partition is one
// list. Scores are "larger is better": inner product, or negative squared distance.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>

#include "cluscomp/pq.h"
#include "cluscomp/rows.h"
#include "cluscomp/topk.h"

namespace cluscomp {

// Scores stored rows against one query. One object serves one thread.
class Scorer {
 public:
  virtual ~Scorer() = default;
  virtual void set_query(const float* query) = 0;
  virtual void enter_list(int64_t /*list*/) {}
  virtual void prefetch(int64_t /*row*/) const {}
  // Bytes of one row that `prefetch` asks for; 0 = none.
  virtual int64_t row_bytes() const { return 0; }
  // A row that cannot score `needed` may get -infinity.
  virtual void score(int64_t row, int64_t n, float needed, float* out) = 0;
  // Keeps the best of n given rows, of which negative ones are none; `ahead` more behind them are read next.
  virtual void rescore(const int64_t* rows, int64_t n, int64_t ahead, TopK& best);
  // How many queries may share one pass over the rows; more than 1 pays when rows are wide and scorers small.
  virtual int64_t together() const { return 1; }

 protected:
  // each(row) for the n rows, of which some kilobytes are on their way while earlier ones are scored.
  template <class Each>
  void for_rows(const int64_t* rows, int64_t n, int64_t ahead, Each each) const {
    const int64_t distance = row_bytes() ? std::clamp<int64_t>(rows_in(6144, row_bytes()), 4, 16) : n + ahead;
    for (int64_t i = 0; i < n; ++i) {
      if (i + distance < n + ahead && rows[i + distance] >= 0) prefetch(rows[i + distance]);
      if (rows[i] >= 0) each(rows[i]);
    }
  }
};
using ScorerFactory = std::function<std::unique_ptr<Scorer>()>;

ScorerFactory rows_scorer(const RowsView& rows, Metric metric);
// decode = vmin + (code + 0.5) / 255 * vdiff, as faiss's QT_8bit
ScorerFactory sq8_scorer(const uint8_t* codes, const float* vmin, const float* vdiff, int64_t d, Metric metric);
// coarse: (lists, d) when codes are residuals to their list's centroid, else null.
ScorerFactory pq_scorer(const PqCodebook& codebook, const uint8_t* codes, const float* coarse, Metric metric);

struct Lists {
  const int64_t* offsets;  // (n_lists + 1): rows of list l are [offsets[l], offsets[l + 1])
  const void* positions;   // row -> position, int32 or int64; null: the row number
  bool wide_positions;
  const uint8_t* skip;  // (rows) 1 = deleted; or null

  int64_t position(int64_t row) const {
    if (!positions) return row;
    return wide_positions ? static_cast<const int64_t*>(positions)[row] : static_cast<const int32_t*>(positions)[row];
  }
};

// queries (nq, d), probes (nq, n_probes) of list numbers, negative = none; scores and positions (nq, k).
void search_lists(const ScorerFactory& factory, const Lists& lists, const float* queries, int64_t nq, int64_t d,
                  const int32_t* probes, int64_t n_probes, int64_t k, float* scores, int64_t* positions);

// 4-bit codes for the shuffle scan: within every list, each run of 32 rows, and what is left over at its end, is
// transposed from [rows][bytes] to [bytes][rows]. In place; `undo` transposes back.
void interleave_codes(uint8_t* codes, int64_t bytes, const int64_t* offsets, int64_t n_lists, bool undo);

// Interleaved 4-bit codes of an index. coarse: (lists, d) when codes are residuals to their list's centroid, else null.
// rough: scores, which only choose the candidates of a rerank, are values of sums of 7-bit table entries.
struct FourBitCodes {
  const PqCodebook& book;
  const uint8_t* codes;
  const float* coarse;
  Metric metric;
  bool rough;

  int64_t bytes() const { return book.code_size(); }
  // With residual codes <q, c + r> = <q, c> + <q, r>: one table serves all lists. |q - c - r|^2 needs one a list.
  bool table_per_list() const { return coarse && metric == Metric::l2; }
  float sign() const { return metric == Metric::ip ? 1.0f : -1.0f; }
};

// `search_lists` over interleaved 4-bit codes; unless rough, scores are those of pq_scorer, bit for bit. Lists are read
// once for all queries that probe them. bases: (nq, n_probes) <q, centroid> of the probed lists, or null.
void search_interleaved(const FourBitCodes& codes, const Lists& lists, int64_t n_lists, const float* queries,
                        int64_t nq, const int32_t* probes, const float* bases, int64_t n_probes, int64_t k,
                        float* scores, int64_t* positions);

// The best k (nq, k) of given rows, candidates (nq, c) of which -1 is none; missing ones are (-infinity, -1).
void rescore(const ScorerFactory& factory, const float* queries, int64_t nq, int64_t d, const int64_t* candidates,
             int64_t c, int64_t k, float* scores, int64_t* positions);

}  // namespace cluscomp
