// Product quantization codes: m sub-spaces, 2^nbits codewords each, codes packed as a little-endian bit string (the
// layout of faiss: with 4 bits the first code is the low half of the first byte).
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "cluscomp/assign.h"
#include "cluscomp/rows.h"

namespace cluscomp {

class PqCodebook {
 public:
  // codebooks: (m, 2^nbits, dsub) row-major.
  PqCodebook(const float* codebooks, int64_t m, int64_t dsub, int nbits);

  // codes (n, code_size): nearest codeword of every sub-space in l2, as float64 decides it, lowest index on ties.
  void encode(const RowsView& x, uint8_t* codes) const;
  // Codes of x (n, d) for scores: they lower |e|^2 + weight * <e, u>^2, where e = x - decoded and u is the direction of
  // whole[i] (x itself, or what x is the residual of), from the nearest codewords on by coordinate descent, at most
  // `passes` over all groups. Guo et al., "Accelerating large-scale inference with anisotropic vector quantization",
  // ICML 2020.
  void encode_score_aware(const float* x, const float* whole, int64_t n, float weight, int passes,
                          uint8_t* codes) const;
  void decode(const uint8_t* codes, int64_t n, float* out) const;
  // tables (m, 2^nbits): inner products or squared distances of the query's parts with the codewords.
  void tables(const float* query, Metric metric, float* out) const;

  // Codewords (2^nbits, dsub) of one sub-space, and the length of the longest.
  const float* codewords(int64_t s) const { return codebooks_.data() + s * ksub() * dsub_; }
  double largest_norm(int64_t s) const { return largest_norms_[static_cast<size_t>(s)]; }

  int64_t m() const { return m_; }
  int64_t d() const { return m_ * dsub_; }
  int64_t ksub() const { return int64_t{1} << nbits_; }
  int nbits() const { return nbits_; }
  int64_t code_size() const { return (m_ * nbits_ + 7) / 8; }

 private:
  template <int dsub>
  void decode_row(const uint8_t* row, float* out) const;
  void improve(const float* x, const float* u, const float* norms, float weight, int passes, uint8_t* codes) const;

  int64_t m_, dsub_;
  int nbits_;
  std::vector<float> codebooks_, transposed_;  // (m, ksub, dsub) and (m, dsub, ksub)
  std::vector<double> largest_norms_;          // (m)
  mutable std::once_flag once_;
  mutable std::vector<std::unique_ptr<Assigner>> assigners_;  // built at the first encode
};

// Reads code j of a packed row.
inline uint32_t unpack_code(const uint8_t* row, int64_t j, int nbits) {
  if (nbits == 8) return row[j];
  const int64_t bit = j * nbits;
  uint32_t word = row[bit / 8];
  if (bit % 8 + nbits > 8) word |= static_cast<uint32_t>(row[bit / 8 + 1]) << 8;
  return (word >> (bit % 8)) & ((1u << nbits) - 1u);
}

// Writes code j of a packed row whose bits are still zero.
inline void pack_code(uint8_t* row, int64_t j, int nbits, uint32_t code) {
  const int64_t bit = j * nbits;
  const uint32_t word = code << (bit % 8);
  row[bit / 8] = static_cast<uint8_t>(row[bit / 8] | word);
  if (word > 255) row[bit / 8 + 1] = static_cast<uint8_t>(row[bit / 8 + 1] | (word >> 8));
}

}  // namespace cluscomp
