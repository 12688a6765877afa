// Which lists queries visit.
#pragma once

#include <cstdint>

#include "cluscomp/assign.h"
#include "cluscomp/parts.h"

namespace cluscomp {

class ListChooser {
 public:
  virtual ~ListChooser() = default;

  // Writes `count` lists of each of nq queries, best first. Returns whether products (nq, count) became the inner
  // products of the queries with the centroids of these lists; else they hold anything.
  virtual bool choose(const float* queries, int64_t nq, int64_t count, int32_t* lists, float* products) const = 0;
  virtual int64_t lists() const = 0;
  // Of the queries; 0: any.
  virtual int64_t dim() const { return 0; }
  // Most lists that it can choose.
  virtual int64_t most() const { return lists(); }
};

// All lists in their order.
class EveryList : public ListChooser {
 public:
  explicit EveryList(int64_t lists) : lists_(lists) {}
  bool choose(const float* queries, int64_t nq, int64_t count, int32_t* lists, float* products) const override;
  int64_t lists() const override { return lists_; }

 private:
  int64_t lists_;
};

// The one list to which a row would be assigned, so that near ties fall as they fell for rows.
class NearestList : public ListChooser {
 public:
  explicit NearestList(const Assigner& centroids) : centroids_(centroids) {}
  bool choose(const float* queries, int64_t nq, int64_t count, int32_t* lists, float* products) const override;
  int64_t lists() const override { return centroids_.k(); }
  int64_t dim() const override { return centroids_.d(); }
  int64_t most() const override { return 1; }

 private:
  const Assigner& centroids_;
};

// The best centroids, which are found as rows are.
class RankedLists : public ListChooser {
 public:
  RankedLists(const Parts& centroids, Metric metric) : centroids_(centroids), metric_(metric) {}
  bool choose(const float* queries, int64_t nq, int64_t count, int32_t* lists, float* products) const override;
  int64_t lists() const override { return centroids_.rows(); }
  int64_t dim() const override;

 private:
  const Parts& centroids_;
  Metric metric_;
};

}  // namespace cluscomp
