#include "list_scores.h"

#include <algorithm>
#include <cmath>

#include "cluscomp/pack.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kPieceLists = 256;  // of one piece of work

}  // namespace

ListScores::ListScores(const Kernels& kern, const float* coarse, int64_t nlist, int64_t d, const QueryPanels& panels,
                       int64_t query_vectors, int64_t nprobe)
    : nlist_(nlist),
      blocks_(round_up(query_vectors, kTableLanes) / kTableLanes),
      lanes_(panels.lanes()),
      scores_(static_cast<size_t>(nlist * lanes_)),
      bytes_(static_cast<size_t>(blocks_ * nlist * kTableLanes), 0) {
  const int64_t lanes = lanes_;
  const int64_t pieces = (nlist + kPieceLists - 1) / kPieceLists;
  std::vector<float> lows(static_cast<size_t>(pieces)), highs(lows.size());
  parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = piece * kPieceLists, count = std::min(kPieceLists, nlist - first);
      float* own = scores_.data() + first * lanes;
      kern.filter_f32(coarse + first * d, d, static_cast<int>(count), panels.values.data(), panels.zeros.data(),
                      static_cast<int>(panels.count), d, own, lanes);
      float low = own[0], high = own[0];
      for (int64_t i = 0; i < count; ++i)
        for (int64_t l = 0; l < query_vectors; ++l) {
          low = std::min(low, own[i * lanes + l]);
          high = std::max(high, own[i * lanes + l]);
        }
      lows[piece] = low;
      highs[piece] = high;
    }
  });
  const float low = *std::min_element(lows.begin(), lows.end());
  const float range = *std::max_element(highs.begin(), highs.end()) - low;
  const float scale = range > 0 ? 255.0f / range : 0.0f;
  parallel_for(nlist, kPieceLists, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t l = 0; l < query_vectors; ++l) {
        // what is no number, where products overflow, becomes 255
        const float entry = std::max(0.0f, std::min(255.0f, (scores_[i * lanes + l] - low) * scale + 0.5f));
        bytes_[(l / kTableLanes * nlist + i) * kTableLanes + l % kTableLanes] = static_cast<uint8_t>(entry);
      }
  });
  if (nprobe < nlist) floor(query_vectors, nprobe);
}

void ListScores::floor(int64_t query_vectors, int64_t nprobe) {
  parallel_for(query_vectors, 8, [&](int64_t begin, int64_t end) {
    for (int64_t l = begin; l < end; ++l) {
      uint8_t* column = bytes_.data() + l / kTableLanes * nlist_ * kTableLanes + l % kTableLanes;
      int64_t counts[256] = {};
      for (int64_t i = 0; i < nlist_; ++i) ++counts[column[i * kTableLanes]];
      int least = 255;
      for (int64_t seen = counts[255]; seen < nprobe; seen += counts[least]) --least;
      for (int64_t i = 0; i < nlist_; ++i) {
        uint8_t& entry = column[i * kTableLanes];
        entry = static_cast<uint8_t>(entry > least ? entry - least : 0);
      }
    }
  });
}

}  // namespace cluscomp
