// Ward's method on points, its decisions those of float64, most of them made from 16-bit integers.
//
// Rows are centred and rounded to 16 bits; inner products of clusters' sums are sums of inner products, so a merge adds
// two rows of the matrix of products, and what rounding did to a mean is known: at most the longest part rounded away
// from a row. From that follow lower bounds of all heights. Where the bounds leave more than one pair that may be the
// cheapest, these pairs are compared in float64, on sums of the rows as they were given.
#pragma once

#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/ward.h"

namespace cluscomp {

class GramWard {
 public:
  // As ward_merges for one run. False, with nothing of use written, where rows cannot be rounded to any purpose (all
  // equal, or of extreme length) or where so many pairs are close that float64 distances of all are cheaper.
  bool run(const RowsView& x, int64_t begin, int64_t end, int32_t* merges, double* heights);

 private:
  struct Pair {
    int64_t a, b;  // a < b
    double square;
  };

  const Kernels* kern_ = nullptr;
  int64_t n_ = 0, d_ = 0, row_ld_ = 0;
  int64_t left_ = 0;             // clusters, or more: those merged away leave when half of them have (compact)
  int64_t ld_ = 0, stride_ = 0;  // width of a row of products that is in use, and of its place
  float scale_ = 0, tolerance_ = 0;
  int64_t comparisons_left_ = 0;

  std::vector<float> rows_, shift_, columns_, norms_;
  std::vector<int32_t> rounded_;
  std::vector<float> products_, powers_, sizes_, squares_;  // squares_: |sum|^2 of a cluster
  std::vector<int32_t> depths_;                             // most merges between a cluster and one of its rows

  // Of each row of products: the smallest height and the next, its column, and the column's version when it was found.
  std::vector<float> nearest_, second_;
  std::vector<int64_t> neighbour_;
  std::vector<int32_t> version_, seen_;
  std::vector<float> slack_, limits_, heights_;
  std::vector<int32_t> found_, alive_, origin_;  // origin_: the row of x that stands for a cluster

  std::vector<double> storage_;  // float64 sums of clusters of more than one row
  std::vector<double*> sums_, free_;

  bool prepare(const RowsView& x, int64_t begin, int64_t end);
  void load(const RowsView& x, int64_t begin, int64_t end);
  bool round();
  void multiply();
  void mirror();
  void start();
  void scan(int64_t row);
  bool refresh(int64_t row);
  Pair cheapest();
  void consider(int64_t row, float root, Pair& best);
  void offer(int64_t row, int64_t column, float height, float root, Pair& best);
  double exact(int64_t a, int64_t b);
  void merge(int64_t a, int64_t b);
  void merge_sums(int64_t a, int64_t b);
  void compact();
  const float* row_of(int64_t cluster) const { return rows_.data() + origin_[cluster] * row_ld_; }
  float power(int64_t cluster) const;
  float* products(int64_t row) { return products_.data() + row * stride_; }
  WardClusters clusters() const { return {powers_.data(), sizes_.data(), ld_}; }
};

}  // namespace cluscomp
