// The tables of one query over 4-bit codes, for one list where lists have tables of their own.
//
// 7-bit tables, rounded up, bound the score of a row by a sum of bytes; float32 tables give it. Where scores only
// choose the candidates of a rerank, the value of the sum of bytes is the score, and float32 tables are needed by no
// row.
#pragma once

#include <vector>

#include "cluscomp/kernels.h"
#include "four_bit_codes.h"

namespace cluscomp {

class FourBitTables {
 public:
  static constexpr int kTogether = 4;  // rows that are summed in float32 side by side

  // floats: memory for the float32 tables that the caller keeps from call to call; they stay there where scores are
  // rough.
  void fill(const FourBitCodes& codes, const float* query, std::vector<float>& floats);
  const uint8_t* bytes() const { return bytes_.data(); }  // the layout of Kernels::reach_u4
  // Whether scores are values of sums of bytes.
  bool rough() const { return rough_; }

  // The least sum of bytes with which a row may score `threshold`; 65536 where none can. base: added to every sum; the
  // bases of several lists lie between `lowest` and `base`.
  int64_t needed(float threshold, float base) const { return needed(threshold, base, base); }
  int64_t needed(float threshold, float base, float lowest) const;
  // What a sum of bytes stands for.
  float value(uint16_t sum, float base) const {
    return static_cast<float>(static_cast<double>(base) + scale_.low +
                              static_cast<double>(scale_.step) * static_cast<double>(sum));
  }
  // Scores of kTogether rows, so that the additions of one do not wait for those of another; sums as PqCodes::scorer
  // does. at[i] points at the first byte of a row whose bytes are stride[i] apart; base[i] is added to its sum.
  void exact_scores(const FourBitCodes& codes, const uint8_t* const* at, const int64_t* stride, const float* base,
                    float* out) const;

 private:
  std::vector<float> floats_;  // [bytes][2][16]
  std::vector<uint8_t> bytes_;
  TableScale scale_{};
  double slack_ = 0;
  bool usable_ = false, rough_ = false;
};

}  // namespace cluscomp
