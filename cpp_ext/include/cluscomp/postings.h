// An inverted file: for each term the rows that hold it, with weights, in ranges of 256 rows of which the largest
// weight is known. The score of a row is the sum over the terms of a query, in the order given, of
//   fl(query weight * weight of the row),
// each product and each partial sum rounded to float32: no pruning, thread or instruction set changes a bit of it.
//
// Exact search by bounds on ranges: Mallia, Suel, Tonellotto, "Faster learned sparse retrieval with block-max pruning",
// SIGIR 2024, without its approximations.
#pragma once

#include <cstdint>

#include "cluscomp/skip_bits.h"

namespace cluscomp {

constexpr int64_t kRangeRows = 256;

enum class WeightType { u8, f16, f32 };

// The postings of a term lie one after the other, ascending by row, cut into chunks: those of one range of rows.
//   list_chunks, list_starts: (lists + 1) first chunk and first posting of each term.
//   chunk_numbers: range of each chunk, uint16 or (wide) int32; they rise within a term.
//   chunk_sizes: postings of each chunk less one. chunk_maxima: largest weight, of the type of the weights.
//   rows: row less 256 times the range. weights: at least 0.
struct Postings {
  const int64_t* list_chunks;
  const int64_t* list_starts;
  const void* chunk_numbers;
  bool wide;
  const uint8_t* chunk_sizes;
  const void* chunk_maxima;
  const uint8_t* rows;
  const void* weights;
  WeightType type;
  int64_t n_lists, n_chunks, n_postings, n_rows;
};

// Terms of many queries one after the other: those of query i are offsets[i] to offsets[i + 1]. weights: at least 0.
struct TermQueries {
  const int64_t* offsets;
  const int64_t* lists;
  const float* weights;
  int64_t n;
};

// Best k rows of each query with a score above 0: score descending, then row ascending; missing -inf, -1.
// skip: rows that are left out. Throws std::out_of_range where chunks are damaged.
void search_postings(const Postings& x, const TermQueries& queries, int64_t k, SkipBits skip, float* scores,
                     int64_t* positions);

// Scores (n, m) of given rows (n, m) of each query; -inf for row -1. Throws as above.
void score_postings(const Postings& x, const TermQueries& queries, const int64_t* candidates, int64_t m, float* scores);

}  // namespace cluscomp
