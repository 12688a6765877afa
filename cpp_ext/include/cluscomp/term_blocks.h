// Clustered postings of weighted terms. The rows of each term are divided into blocks of similar rows, each block has
// a summary, a query opens the blocks whose summaries promise most, and rows are scored exactly from a forward index.
//
// Bruch, Nardini, Rulli, Venturini, "Efficient inverted indexes for approximate retrieval over learned sparse
// representations" (Seismic), SIGIR 2024, arXiv 2404.18812. Differences: blocks of all terms of a query are opened from
// the best bound down; a term whose rows are one block has no summary and is always opened.
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/postings.h"
#include "cluscomp/skip_bits.h"

namespace cluscomp {

// Numbers in one of two widths: (2 and 4 bytes: uint16, int32) for terms, (4 and 8: int32, int64) for places.
struct TermNumbers {
  const void* data;
  bool wide;
  int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int32_t*>(data)[i] : static_cast<int64_t>(static_cast<const uint16_t*>(data)[i]);
  }
};
struct Places {
  const void* data;
  bool wide;
  int64_t operator[](int64_t i) const {
    return wide ? static_cast<const int64_t*>(data)[i] : static_cast<int64_t>(static_cast<const int32_t*>(data)[i]);
  }
};

// Rows of terms. Row i has the entries starts[i] to starts[i + 1]; terms ascend within a row; weights are at least 0.
// Nothing is trusted but the lengths: functions below throw std::out_of_range where values contradict them.
struct ForwardRows {
  Places starts;  // (n_rows + 1)
  TermNumbers terms;
  const void* weights;
  WeightType type;
  int64_t n_rows, n_lists, n_entries;
};

// Blocks of the terms of a segment.
//   list_blocks: (n_lists + 1) first block of each term; block_starts: (n_blocks + 1) first place of each in
//   block_rows. Summaries stand by term of the segment, as entries that ascend by component, a term that occurs in the
//   summaries, then by block. list_entries: (n_lists + 1) first entry; entry_terms: component; entry_blocks: block less
//   the first of the term; entry_codes: what the block has at most of the component is fl(list_scales[term] * code).
struct TermBlocks {
  Places list_blocks, block_starts, list_entries;
  const int32_t* block_rows;
  TermNumbers entry_terms;
  const uint16_t* entry_blocks;
  const uint8_t* entry_codes;
  const float* list_scales;
  int64_t n_blocks, n_places, n_entries;
};

constexpr int64_t kMostBlocks = 1 << 16;  // of a term

struct BlockSettings {
  double centroid_fraction;  // a term of n rows gets max(1, floor(fraction * n)) blocks at most
  double summary_energy;     // share of the sum of its values that a summary keeps at least; 1: all of them
  int64_t summary_terms;  // a summary of r rows keeps at most so many times r terms, unless it keeps all; 0: no bound
  int64_t min_cluster_size;  // rows of smaller clusters move to others
  int64_t doc_cut;           // largest terms of a row that are compared with centroids
  uint64_t seed;             // of the choice of centroids
};

// What is made of one term: rows of each block, and the entries of the summaries.
struct ListBlocks {
  std::vector<int32_t> sizes, rows;
  std::vector<int32_t> entry_terms;
  std::vector<uint16_t> entry_blocks;
  std::vector<uint8_t> entry_codes;
  float scale = 0;
};

// Divides the rows of terms. starts: (m + 1) where the rows of each begin; rows: ascending within a term.
//
// Centroids are the rows at the c places p of the least mix(seed, p), in order of place (mix: splitmix64). A row goes
// to the centroid with the largest sum over its doc_cut largest terms, ascending, of fl(weight * weight), in float32;
// ties: the first. Then rows of clusters below min_cluster_size go to the best of the others; without others there is
// one block. A summary has the largest weight of each term; its terms are kept from the largest weight down, the
// lowest term first among equals, until their sum (float64) is at least energy times that of all, or the summary is
// full. scale = the least float with fl(255 * scale) at least the largest kept value (weights of 8 bits: 1), codes are
// the least with fl(scale * code) at least the value.
std::vector<ListBlocks> divide_terms(const ForwardRows& x, const int64_t* starts, const int32_t* rows, int64_t m,
                                     const BlockSettings& settings);

// query_cut: the largest terms of a query whose blocks are looked at, the first among equals; 0: all. heap_factor: a
// block is left out once k rows are found and its bound is below fl(heap_factor * k-th score). every: all rows are
// scored instead, without blocks.
struct BlockSearch {
  int64_t k, query_cut;
  float heap_factor;
  bool every;
};

// Best k rows of each query with a score above 0, of the blocks that are opened: from the best bound down (ties: the
// larger term weight, then the first block) until one is left out. The bound of a block is the sum over the terms of
// the query, ascending, of fl(query weight * value of the summary), infinite for a term of one block. Scores are those
// of postings.h, bit for bit. skip: rows that are left out. Ties and missing hits as there. scored: rows of each query.
void search_blocks(const ForwardRows& x, const TermBlocks& blocks, const TermQueries& queries,
                   const BlockSearch& settings, SkipBits skip, float* scores, int64_t* positions, int64_t* scored);

// Scores (n, m) of given rows (n, m) of each query; -inf for row -1.
void score_forward(const ForwardRows& x, const TermQueries& queries, const int64_t* candidates, int64_t m,
                   float* scores);

}  // namespace cluscomp
