// The tables of one query over RaBitQ codes. A nibble of a plane holds one bit of four dimensions, so one table of 16
// sums a nibble serves all planes that have it: that of a higher plane counts twice as much.
#pragma once

#include <limits>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/rabitq.h"

namespace cluscomp {

class BitPlaneTables {
 public:
  // metric: of the scores. bars: so many error bars are added to them.
  BitPlaneTables(const Rabitq& form, Metric metric, float bars) : form_(&form), metric_(metric), bars_(bars) {}

  // bytes: whether tables of bytes are made, too, which bound scores or, where `rough`, give them.
  void fill(const float* query, bool bytes, bool rough);
  // The rows that follow are residuals to this centroid; null: to none. product: its inner product with the query, if
  // known.
  void enter(const float* centroid, const float* product);

  bool rough() const { return rough_; }
  const uint8_t* bytes() const { return bytes_.data(); }  // the layout of Kernels::reach_u4
  // Of bytes that planes behind this one add to its sum times 2^planes, at most.
  int32_t most_behind(int plane) const { return most_behind_[plane]; }
  // The sum of bytes of a part of the axes counts 2^shift times.
  int shift(int part) const { return shifts_[part]; }
  // What Kernels::plane_bounds needs to find the rows of the list that reach `needed`.
  PlaneTerms terms(float needed) const { return {step_, low_, usable_ ? width_ : 0.0f, needed}; }
  // The least bound with which a row of the list may score `threshold`.
  float needed(float threshold) const;
  // What a bound stands for where scores are rough.
  float value(float bound) const { return bound + base_; }
  // The score of a row by Kernels::dot_planes; its bytes stand behind each other.
  float score(const uint8_t* row) const;

 private:
  const Rabitq* form_;
  Metric metric_;
  float bars_;
  const float* query_ = nullptr;
  std::vector<float> padded_;  // the query as Kernels::dot_planes reads it
  std::vector<float> floats_;  // [plane bytes][2][16]
  std::vector<uint8_t> bytes_;
  int32_t most_behind_[8] = {};
  int shifts_[Rabitq::kParts] = {};
  TableScale scale_{};
  float middle_ = 0;          // the product of the query with the middle of the grid
  float step_ = 0, low_ = 0;  // of PlaneTerms
  float product_of_mean_ = 0;
  float base_ = 0, width_ = 0;  // what the list adds to scores, and the width of an error bar there
  bool usable_ = false, rough_ = false;

  // Multiplies tables of parts with smaller entries by powers of two, and returns the largest power.
  float level_parts();
  // Fills most_behind_, and returns what entries of zero stand for in the sum of all planes. up: added to each entry
  // of the finest part. finest: of `level_parts`.
  double add_planes(double up, double finest);
};

}  // namespace cluscomp
