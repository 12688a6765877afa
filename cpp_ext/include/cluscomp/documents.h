// Search among documents of several compressed vectors: candidates by the lists
// of their vectors, MaxSim of what the codes of the candidates stand for.
#pragma once

#include <algorithm>
#include <vector>

#include "cluscomp/pq_codes.h"
#include "cluscomp/skip_bits.h"

namespace cluscomp {

// n documents; document i has the vectors offsets[i] to offsets[i + 1]. lists:
// of each vector, uint16 or, where wide, int32 numbers below nlist, or null.
// coarse: (nlist, d) centroids. residual: a vector is its decoded row plus its
// centroid. unit: it is then scaled to length 1 (a zero vector stays).
struct Documents {
  const Codes* codes = nullptr;  // of all vectors
  int64_t d = 0, n = 0;
  const int64_t* offsets = nullptr;
  const void* lists = nullptr;
  bool wide = false;
  const float* coarse = nullptr;
  int64_t nlist = 0;
  bool residual = false, unit = false;
  // The codes where they are product codes of 8 bits, which have bounds without
  // decoding; else null.
  const PqCodes* bytes = nullptr;
  double largest_centroid = 0;  // length of the longest centroid
  float* scales = nullptr;      // of each vector, 0 while nobody has needed it

  // What `vectors` multiplies the decoded vector with; found once, then
  // remembered.
  float scale(int64_t vector) const;

  int64_t list(int64_t vector) const {
    return wide ? static_cast<const int32_t*>(lists)[vector] : static_cast<const uint16_t*>(lists)[vector];
  }
  // Vectors [begin, end) as float32 (end - begin, d), before they are scaled
  // and as they are searched. Sums and squares as in kernels.h, each operation
  // rounded once.
  void sums(int64_t begin, int64_t end, float* out) const;
  void vectors(int64_t begin, int64_t end, float* out) const;
};

// Documents of several segments, counted through: the first of a segment has
// the position behind the last of the one before. All have the same d,
// centroids and form of codes.
class DocumentSet {
 public:
  struct Place {
    const Documents& documents;
    int64_t number;  // of a document there
  };

  void append(const Documents& documents) {
    parts_.push_back(&documents);
    firsts_.push_back(n() + documents.n);
  }
  int64_t n() const { return firsts_.back(); }
  int64_t parts() const { return static_cast<int64_t>(parts_.size()); }
  const Documents& part(int64_t i) const { return *parts_[i]; }
  int64_t first(int64_t part) const { return firsts_[part]; }
  Place at(int64_t position) const {
    if (parts_.size() == 1) return {*parts_[0], position};
    const auto next = std::upper_bound(firsts_.begin(), firsts_.end(), position);
    return {*parts_[next - firsts_.begin() - 1], position - *(next - 1)};
  }
  // each(position) for the documents [begin, end) that are not left out,
  // ascending. skip: of each part, or null.
  template <class Each>
  void for_kept(const SkipBits* skip, int64_t begin, int64_t end, Each each) const {
    auto part = std::upper_bound(firsts_.begin(), firsts_.end(), begin) - firsts_.begin() - 1;
    for (int64_t position = begin; position < end; ++part)
      for (const int64_t stop = std::min(end, firsts_[part + 1]); position < stop; ++position)
        if (!skip || !skip[part][position - firsts_[part]]) each(position);
  }

 private:
  std::vector<const Documents*> parts_;
  std::vector<int64_t> firsts_{0};  // position of the first document of each part, then n
};

struct DocumentSearch {
  int64_t k;
  int64_t candidates;              // documents that are scored; all of them where that is at
                                   // least n or there are no lists
  int64_t nprobe;                  // lists of a query vector that count; the score of the others
                                   // counts as that of the worst of these
  const SkipBits* skip = nullptr;  // of each part: documents by their number there; or null
};

// Best k documents of each query: scores and positions (nq, k), best first,
// ties by position; missing ones -infinity, -1. queries (Q, d) float32;
// query_offsets (nq + 1) cut them into queries. A score is the sum over query
// vectors, in float64 and in order, of the largest float32 inner product; it
// does not depend on what else is searched, nor on threads. Candidates are
// chosen among all documents, whatever parts they stand in.
void search_documents(const DocumentSet& documents, const float* queries, const int64_t* query_offsets, int64_t nq,
                      const DocumentSearch& search, float* scores, int64_t* positions);

// The search.candidates documents of each query that search_documents scores,
// ascending: sums (nq, candidates) of what the lists of their vectors score,
// whole numbers, and positions; missing ones -infinity, -1. There must be
// lists.
void choose_documents(const DocumentSet& documents, const float* queries, const int64_t* query_offsets, int64_t nq,
                      const DocumentSearch& search, float* sums, int64_t* positions);

// Scores (nq, c) of some documents of each query, chosen by position (nq, c);
// -infinity where the position is -1.
void score_documents(const DocumentSet& documents, const float* queries, const int64_t* query_offsets, int64_t nq,
                     const int64_t* chosen, int64_t c, float* scores);

// bounds (c): none of the chosen documents scores above its bound with the n
// vectors of one query. False, and nothing written, where documents are in a
// form without bounds.
bool bound_documents(const DocumentSet& documents, const float* query, int64_t n, const int64_t* chosen, int64_t c,
                     double* bounds);

}  // namespace cluscomp
