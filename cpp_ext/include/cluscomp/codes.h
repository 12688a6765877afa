// Stored rows in one form: how they are scored, scanned and decoded. A new form is a class derived from Codes, which
// may refer to as many arrays as it needs.
#pragma once

#include <cstdint>
#include <memory>

#include "cluscomp/scan.h"
#include "cluscomp/scorer.h"

namespace cluscomp {

class Codes {
 public:
  virtual ~Codes() = default;

  int64_t rows() const { return rows_; }
  int64_t dim() const { return dim_; }

  // Whether a scorer that one of them made can score rows of the other: the same form with the same parameters.
  virtual bool same_form(const Codes& other) const = 0;
  // Whether codes may be residuals to the centroid of their list.
  virtual bool takes_residuals() const { return false; }
  // Whether rows can be read one by one, as scorers and `decode` do.
  virtual bool by_row() const { return true; }
  // Whether scans can add error bars to scores.
  virtual bool has_bars() const { return false; }
  // coarse: as in InvertedLists; null unless takes_residuals().
  virtual std::unique_ptr<Scorer> scorer(Metric metric, const float* coarse) const = 0;
  // Writes what n rows from `first` on stand for as float32 (n, dim).
  virtual void decode(int64_t first, int64_t n, float* out) const = 0;
  // The best k rows of the probed lists of parts, all of which are of this form.
  virtual void scan(const Parts& parts, const ScanCall& call, const HitArrays& out) const {
    scan_lists(parts, call, out);
  }

 protected:
  Codes(int64_t rows, int64_t dim) : rows_(rows), dim_(dim) {}

 private:
  int64_t rows_, dim_;
};

}  // namespace cluscomp
