// Reading rows of a forward index, checked.
#pragma once

#include <cstdint>

#include "cluscomp/term_blocks.h"

namespace cluscomp {

struct Entries {
  int64_t first, count;
};

[[noreturn]] void damaged_blocks(const char* what);

inline Entries entries_of(const ForwardRows& x, int64_t row) {
  if (row < 0 || row >= x.n_rows) damaged_blocks("a row of a block");
  const int64_t first = x.starts[row], stop = x.starts[row + 1];
  if (first < 0 || stop < first || stop > x.n_entries) damaged_blocks("the start of a row");
  return {first, stop - first};
}

// Asks memory for the entries of a row, which are read soon; for the first and the last of them.
// Inlined always: GCC drops calls of functions that only prefetch, since they have no effect.
[[gnu::always_inline]] inline void fetch_entries(const ForwardRows& x, int64_t row) {
  const int64_t first = x.starts[row], last = x.starts[row + 1] - 1;
  const int64_t term_bytes = x.terms.wide ? 4 : 2;
  const int64_t weight_bytes = x.type == WeightType::u8 ? 1 : x.type == WeightType::f16 ? 2 : 4;
  __builtin_prefetch(static_cast<const char*>(x.terms.data) + first * term_bytes);
  __builtin_prefetch(static_cast<const char*>(x.terms.data) + last * term_bytes);
  __builtin_prefetch(static_cast<const char*>(x.weights) + first * weight_bytes);
}

// One weight as a float.
float weight_at(const void* weights, WeightType type, int64_t i);

// Weights of the terms of a query by term, all others 0; the place behind the last is that of terms that do not exist.
class QueryWeights {
 public:
  void set(const ForwardRows& x, const TermQueries& queries, int64_t query);
  void clear();
  const float* data() const { return weights_.data(); }

 private:
  std::vector<float> weights_;
  std::vector<int64_t> used_;
};

// The score of the entries of a row, summed in ascending order of terms: those without weight add nothing, so that it
// is the sum over the terms of the query.
float score_entries(const ForwardRows& x, const Entries& entries, const float* query);

}  // namespace cluscomp
