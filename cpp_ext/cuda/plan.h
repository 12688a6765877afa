// Sizes, offsets and index arithmetic of the CUDA kernels: plain functions that the host's compiler checks, too.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define CLUSCOMP_BOTH __host__ __device__
#else
#define CLUSCOMP_BOTH
#endif

namespace cluscomp::cuda {

constexpr int kThreads = 256;  // of every block
constexpr int kWarps = kThreads / 32;
constexpr int kTile = 128;                   // rows, and centroids, that a block multiplies at a time
constexpr int kDepth = 64;                   // dimensions of one step of that product
constexpr int kStages = 2;                   // steps in shared memory: one is multiplied while the next one is copied
constexpr int kOperandStride = kDepth + 8;   // bfloat16 values; the 8 keep rows apart in the banks of shared memory
constexpr int kScoreStride = kTile + 4;      // floats, likewise
constexpr int kKept = 4;                     // candidates a row that the filter hands on
constexpr int kChunk = 1024;                 // rows of one partial result of a column
constexpr int64_t kMostBlocks = 0x7fffffff;  // of one launch (grid.x)

CLUSCOMP_BOTH constexpr int64_t div_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }
CLUSCOMP_BOTH constexpr int64_t round_up(int64_t a, int64_t b) { return div_up(a, b) * b; }

constexpr size_t kOperandBytes = size_t{2} * kStages * kTile * kOperandStride * 2;  // both operands
constexpr size_t kScoreBytes = size_t{kTile} * kScoreStride * 4;
constexpr size_t kFilterShared = kOperandBytes > kScoreBytes ? kOperandBytes : kScoreBytes;
// Shared memory that one block may ask for is 163 KiB on sm_80, 99 KiB on sm_86 and sm_89, 227 KiB on sm_90.
static_assert(kFilterShared <= 99 * 1024, "the filter must fit every architecture from sm_80 on");
static_assert(2 * kTile == kThreads, "two threads scan a row of the score tile");

// The problem: in each of `groups` sub-spaces of d dimensions (1 for plain assignment, m for a product quantizer), n
// rows against k centroids.
struct Shape {
  int64_t n, k, d, groups;

  CLUSCOMP_BOTH constexpr int64_t padded_rows() const { return round_up(n, kTile); }
  CLUSCOMP_BOTH constexpr int64_t padded_centroids() const { return round_up(k, kTile); }
  CLUSCOMP_BOTH constexpr int64_t padded_depth() const { return round_up(d, 16); }
};

// bfloat16 copies of rows (groups, padded, depth) and then `terms` floats for each, in one piece of memory.
struct Packed {
  int64_t padded, depth, groups, terms;

  CLUSCOMP_BOTH constexpr int64_t vectors() const { return padded * groups; }
  CLUSCOMP_BOTH constexpr int64_t value_bytes() const { return vectors() * depth * 2; }
  CLUSCOMP_BOTH constexpr int64_t term_offset(int64_t term) const { return value_bytes() + term * vectors() * 4; }
  CLUSCOMP_BOTH constexpr int64_t bytes() const { return term_offset(terms); }
};

CLUSCOMP_BOTH constexpr Packed packed_centroids(const Shape& s) {
  return {s.padded_centroids(), s.padded_depth(), s.groups, 5};  // bias, error, norm; norm and error of the copy
}
CLUSCOMP_BOTH constexpr Packed packed_rows(const Shape& s) { return {s.padded_rows(), s.padded_depth(), s.groups, 2}; }

// Scratch of one call: packed rows, then the candidates of each row: kKept + 1 bounds and kKept labels.
CLUSCOMP_BOTH constexpr int64_t bounds_offset(const Shape& s) { return packed_rows(s).bytes(); }
CLUSCOMP_BOTH constexpr int64_t candidates_offset(const Shape& s) {
  return bounds_offset(s) + packed_rows(s).vectors() * (kKept + 1) * 4;
}
CLUSCOMP_BOTH constexpr int64_t prepared_bytes(const Shape& s) { return packed_centroids(s).bytes(); }
CLUSCOMP_BOTH constexpr int64_t scratch_bytes(const Shape& s) {
  return candidates_offset(s) + packed_rows(s).vectors() * kKept * 4;
}

// Scratch of column_logs: the largest exponent and a sum of each column of each chunk.
constexpr int64_t kPartBytes = 16;
CLUSCOMP_BOTH constexpr int64_t column_scratch_bytes(int64_t n, int64_t k) {
  return div_up(n, kChunk) * k * kPartBytes;
}

// Blocks of the kernels that give one warp to each vector of `count`.
CLUSCOMP_BOTH constexpr int64_t warp_blocks(int64_t count) { return div_up(count, kWarps); }

}  // namespace cluscomp::cuda
