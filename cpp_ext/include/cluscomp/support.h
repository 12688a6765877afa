// Support pooling: a few vectors of a document fitted to h(q) = max_i <q, x_i> of its token vectors x_i over a sample
// of q's that is the same for all documents.
//
//   minimise over v_1..v_k   sum_q (max_j <q, v_j> - target(q))^2 + ridge * sum_j |v_j - start_j|^2
//   target(q) = (1 - start_share) h(q) + start_share (max_j <q, start_j> + shift)
//
// A round assigns every q to its largest <q, v_j>, as in max-affine regression (Magnani and Boyd, "Convex
// piecewise-linear fitting", Optimization and Engineering 10 (2009)), and moves each v_j by some steps of conjugate
// gradients on the normal equations of its own q's. Vectors of the best round are kept, so the objective never rises.
//
// Inner products for maxima are of rows rounded to 16 bits, which integers sum exactly: an error of about 1e-5 |q| |x|.
// Steps are float32 sums in a stated order, objectives float64. A document is done by one thread; no result depends on
// threads, instruction set, or what else is in the call.
#pragma once

#include <vector>

#include "cluscomp/rounded_rows.h"
#include "cluscomp/rows.h"

namespace cluscomp {

struct SupportFit {
  double start_share;  // 0 to 1
  double ridge;
  int64_t rounds;
  int64_t steps;  // of conjugate gradients, at most
};

// Documents below each other: document i has the rows [offsets[i], offsets[i + 1]).
struct Ragged {
  RowsView rows;
  const int64_t* offsets;  // (n_docs + 1)
  int64_t n_docs;
};

class SupportSample {
 public:
  explicit SupportSample(const RowsView& sample);

  // False where a row is longer than kLongestRow: then the sample is of no use.
  bool valid() const { return valid_; }

  int64_t n() const { return n_; }
  int64_t d() const { return d_; }

  // values (n_docs, n): h of each document; 0 for one without rows. Returns the first document with a row that is
  // longer than kLongestRow, whose values mean nothing, or -1.
  int64_t values(const Ragged& documents, float* values) const;

  // start: the vectors of all documents; of document i the first fixed[i] stay as they are. values (n_docs, n): h of
  // each document. shifts (n_docs).
  // vectors (rows of start, d): the fitted ones. objectives (n_docs, 2): before and after. Returns as `values` does.
  int64_t fit(const Ragged& start, const int64_t* fixed, const float* values, const double* shifts,
              const SupportFit& how, float* vectors, double* objectives) const;

 private:
  struct Document;

  int64_t n_, d_, ld_;       // ld_: a row of rows_, d padded with zeros to a multiple of 16
  std::vector<float> rows_;  // (n rounded up to 16, ld)
  RoundedRows lanes_;
  bool valid_;
};

}  // namespace cluscomp
