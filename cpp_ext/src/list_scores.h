// Scores of query vectors with the centroids of all lists, as bytes.
#pragma once

#include <vector>

#include "cluscomp/documents_kernels.h"
#include "query_panels.h"

namespace cluscomp {

// Tables [lists][32] for each 32 vectors of one query, padded with zeros. An entry is round((score - lowest) / step)
// with the lowest score of all and the step that makes the largest 255, so that entries of different vectors can be
// added. Where nprobe is below nlist, the entries of each vector are clamped from below to its nprobe-th largest, then
// shifted so that this value is 0.
class ListScores {
 public:
  ListScores(const Kernels& kern, const float* coarse, int64_t nlist, int64_t d, const QueryPanels& panels,
             int64_t query_vectors, int64_t nprobe);

  int64_t blocks() const { return blocks_; }
  const uint8_t* block(int64_t b) const { return bytes_.data() + b * nlist_ * kTableLanes; }
  // Products of one centroid with all lanes of the panels, not rounded and whatever nprobe is.
  const float* scores(int64_t list) const { return scores_.data() + list * lanes_; }

 private:
  int64_t nlist_, blocks_, lanes_;
  std::vector<float> scores_;
  std::vector<uint8_t> bytes_;

  void floor(int64_t query_vectors, int64_t nprobe);
};

}  // namespace cluscomp
