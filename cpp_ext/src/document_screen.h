// Upper bounds of scores of documents in product codes, without decoding: most candidates need no exact score.
#pragma once

#include <vector>

#include "cluscomp/documents.h"
#include "cluscomp/kernels.h"
#include "list_scores.h"
#include "query_panels.h"

namespace cluscomp {

// A vector is scale * (centroid of its list + a codeword of each sub-space), so its product with a query vector is
// scale * (an entry of the list scores + m entries of tables). Entries are rounded to 16 bits, with a step of their own
// for each query vector that keeps every sum within 16 bits.
//
// Bound: an entry is off by at most 0.51 step (the product + 0.5 is rounded in float), float products of d terms by
// d * 2^-23 of the lengths of both factors, and decoding, scaling and the exact product by as much again.
class DocumentScreen {
 public:
  // own: vectors of the query.
  DocumentScreen(const Kernels& kern, const DocumentSet& documents, const QueryPanels& panels, int64_t own,
                 const ListScores& lists);

  static constexpr int64_t kMostCodes = 8192;  // with more, little would be left of 16 bits for each

  // Whether documents of this form can be screened.
  static bool takes(const DocumentSet& documents) {
    const Documents& part = documents.part(0);
    return part.bytes && part.residual && part.bytes->book().m() < kMostCodes;
  }

  // bounds[i]: no exact score of the document at position chosen[i] is above it; -infinity where it has no vectors.
  void bounds(const int64_t* chosen, int64_t n, double* bounds) const;

 private:
  const Kernels& kern_;
  const DocumentSet& documents_;
  const ListScores& lists_;
  int64_t own_, panels_, m_;
  bool usable_ = false;               // false: values are so large that nothing is bounded
  std::vector<int16_t> tables_;       // [panel][sub-space][256][16]
  std::vector<float> steps_, slack_;  // [lanes]
};

}  // namespace cluscomp
