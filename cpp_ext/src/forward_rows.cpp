#include "forward_rows.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kNarrowTerms = 1 << 16;  // a term in 16 bits is always within the weights of a query

template <class Term, class Weight>
float added(float sum, const Term* terms, const Weight* weights, int64_t n, int64_t n_lists, const float* query) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t term = static_cast<int64_t>(terms[i]);
    if constexpr (sizeof(Term) > 2) term = term < 0 || term > n_lists ? n_lists : term;
    sum += query[term] * static_cast<float>(weights[i]);
  }
  return sum;
}

template <class Term>
float sum_of(const ForwardRows& x, const Term* terms, const Entries& entries, const float* query) {
  terms += entries.first;
  if (x.type == WeightType::f32)
    return added(0, terms, static_cast<const float*>(x.weights) + entries.first, entries.count, x.n_lists, query);
  if (x.type == WeightType::u8)
    return added(0, terms, static_cast<const uint8_t*>(x.weights) + entries.first, entries.count, x.n_lists, query);
  constexpr int64_t kPart = 256;
  float buffer[kPart], sum = 0;
  for (int64_t at = 0; at < entries.count; at += kPart) {
    const int64_t n = std::min(kPart, entries.count - at);
    kernels().load_f16(static_cast<const uint16_t*>(x.weights) + entries.first + at, buffer, n);
    sum = added(sum, terms + at, buffer, n, x.n_lists, query);
  }
  return sum;
}

}  // namespace

void damaged_blocks(const char* what) { throw std::out_of_range(std::string(what) + " is damaged"); }

float weight_at(const void* weights, WeightType type, int64_t i) {
  if (type == WeightType::f32) return static_cast<const float*>(weights)[i];
  if (type == WeightType::u8) return static_cast<float>(static_cast<const uint8_t*>(weights)[i]);
  float value;
  kernels().load_f16(static_cast<const uint16_t*>(weights) + i, &value, 1);
  return value;
}

void QueryWeights::set(const ForwardRows& x, const TermQueries& queries, int64_t query) {
  clear();
  const int64_t needed = std::max(x.n_lists + 1, kNarrowTerms);
  if (static_cast<int64_t>(weights_.size()) < needed) weights_.resize(static_cast<size_t>(needed), 0.0f);
  for (int64_t t = queries.offsets[query]; t < queries.offsets[query + 1]; ++t) {
    const int64_t list = queries.lists[t];
    if (list < 0 || list >= x.n_lists) throw std::out_of_range("a term does not exist");
    used_.push_back(list);
    weights_[static_cast<size_t>(list)] = queries.weights[t];
  }
}

void QueryWeights::clear() {
  for (const int64_t list : used_) weights_[static_cast<size_t>(list)] = 0;
  used_.clear();
}

float score_entries(const ForwardRows& x, const Entries& entries, const float* query) {
  return x.terms.wide ? sum_of(x, static_cast<const int32_t*>(x.terms.data), entries, query)
                      : sum_of(x, static_cast<const uint16_t*>(x.terms.data), entries, query);
}

void score_forward(const ForwardRows& x, const TermQueries& queries, const int64_t* candidates, int64_t m,
                   float* scores) {
  parallel_for(queries.n, 1, [&](int64_t begin, int64_t end) {
    static thread_local QueryWeights query;
    for (int64_t i = begin; i < end; ++i) {
      query.set(x, queries, i);
      for (int64_t j = i * m; j < (i + 1) * m; ++j)
        scores[j] = candidates[j] < 0 ? -std::numeric_limits<float>::infinity()
                                      : score_entries(x, entries_of(x, candidates[j]), query.data());
    }
    query.clear();
  });
}

}  // namespace cluscomp
