#include "cluscomp/prescreen.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "cluscomp/parallel.h"
#include "cluscomp/topk.h"
#include "leaders.h"

namespace cluscomp {
namespace {

constexpr int64_t kQueryBlock = 32;  // queries that share one pass over the prescreen
constexpr int64_t kTileRows = 512;   // rows bounded at once: 32 x 512 bounds stay in the second-level cache
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// 7 bits for the rows: with 8 bits for the query, no instruction set saturates (kernels_avx2.cpp).
IntFilter stored_filter(const Kernels& kern) {
  return {.row_max = 127, .centroid_max = 63, .offset = 64, .bounds = kern.fine.bounds};
}

// The queries of one block, quantised.
struct QueryBlock {
  std::vector<float> padded, terms, squares, norms;
  std::vector<double> mean_dot;
  std::vector<int8_t> integers;
  std::vector<int32_t> sums;

  QueryBlock(const Kernels& kern, const float* queries, int64_t count, int64_t d, const float* mean, Metric metric) {
    const int64_t ld = round_up(d, kLanes), width = round_up(d, 4);
    const IntFilter filter = stored_filter(kern);
    std::vector<float> centred(static_cast<size_t>(ld));
    padded.assign(static_cast<size_t>(count * ld), 0.0f);
    integers.resize(static_cast<size_t>((count + 1) * ld));
    terms.resize(static_cast<size_t>(count * 4));
    squares.resize(static_cast<size_t>(count));
    norms.resize(static_cast<size_t>(count));
    mean_dot.resize(static_cast<size_t>(count));
    sums.resize(static_cast<size_t>(count));
    for (int64_t q = 0; q < count; ++q) {
      float* x = padded.data() + q * ld;
      std::copy_n(queries + q * d, d, x);
      const float largest = kern.centre(x, mean, centred.data(), ld, &squares[q]);
      sums[q] = quantize_row(kern, filter, centred.data(), largest, squares[q], d, ld, integers.data() + q * width,
                             terms.data() + q * 4);
      norms[q] = static_cast<float>(std::sqrt(kern.dot_f64(x, x, ld)));
      mean_dot[q] = metric == Metric::ip ? kern.dot_f64(x, mean, ld) : 0.0;
    }
  }
};

// The bound that a row needs to reach `score`, the k-th best so far: the terms that the filter leaves out are taken
// off, and the rounding of the float32 score is granted to the row.
float needed_bound(const QueryBlock& block, int64_t q, const PrescreenView& prescreen, int64_t d, Metric metric,
                   float score) {
  if (score == -kInfinity) return -kInfinity;
  const double slack = static_cast<double>(rounding_slack(d)), value = static_cast<double>(score);
  if (metric == Metric::ip) {
    const double rounding = slack * static_cast<double>(block.norms[q]) * static_cast<double>(prescreen.largest_norm);
    return static_cast<float>(value - block.mean_dot[q] - rounding -
                              0x1p-22 * (std::fabs(value) + std::fabs(block.mean_dot[q])) - kVanished);
  }
  const double square = static_cast<double>(block.squares[q]);
  return static_cast<float>(0.5 * (square + value) - (slack + 0x1p-22) * (square + std::fabs(value)) - kVanished);
}

struct Scratch {
  std::vector<int32_t> open = std::vector<int32_t>(kTileRows);
  std::vector<float> leaders;
};

struct Searcher {
  const RowsView& rows;
  const PrescreenView& prescreen;
  Metric metric;
  SkipBits skip;
  const Kernels& kern = kernels();
  std::atomic<int64_t> scored{0};

  // Queries of the block against rows [begin, end); best[q] is kept up to date, floor[q] is shared between threads.
  void scan(const QueryBlock& block, int64_t count, int64_t begin, int64_t end, std::vector<TopK>& best,
            std::atomic<float>* floor) {
    const IntFilter filter = stored_filter(kern);
    const int64_t d4 = round_up(rows.d, 4) / 4;
    std::vector<float> bounds(static_cast<size_t>(count * kTileRows));
    Scratch scratch;
    for (int64_t first = begin; first < end; first += kTileRows) {
      const int64_t width = std::min(kTileRows, end - first), panel = first / kLanes;
      const auto panels = static_cast<int>(round_up(width, kLanes) / kLanes);
      filter.bounds(block.integers.data(), static_cast<int>(count), prescreen.values + panel * d4 * 4 * kLanes,
                    prescreen.terms + panel * 4 * kLanes, block.terms.data(), block.sums.data(), panels, d4,
                    bounds.data(), kTileRows);
      for (int64_t q = 0; q < count; ++q)
        verify(block, q, bounds.data() + q * kTileRows, first, width, best[q], floor[q], scratch);
    }
  }

  // Scores the rows of one tile whose bound reaches the threshold. Before there is one, the rows of the k best bounds
  // go first, after which few others still reach.
  void verify(const QueryBlock& block, int64_t q, const float* bounds, int64_t first, int64_t width, TopK& best,
              std::atomic<float>& floor, Scratch& scratch) {
    const float* query = block.padded.data() + q * round_up(rows.d, kLanes);
    float reached = std::max(best.threshold(), floor.load(std::memory_order_relaxed));
    float needed = needed_bound(block, q, prescreen, rows.d, metric, reached);
    float begin = needed;
    if (!best.full() && best.k() < width)
      begin = std::max(needed, reach_of_best(bounds, width, best.k(), scratch.leaders));
    int64_t tried = 0;
    const auto score_open = [&](float from, auto&& is_open) {
      const int64_t found = kern.select(bounds, round_up(width, kLanes), from, scratch.open.data());
      for (int64_t i = 0; i < found; ++i) {
        const int64_t at = scratch.open[i], row = first + at;
        if (at >= width || bounds[at] < needed || !is_open(bounds[at]) || skip[row]) continue;
        const float score = metric == Metric::ip ? kern.dot(query, rows.row(row), rows.type, rows.d)
                                                 : -kern.l2(query, rows.row(row), rows.type, rows.d);
        ++tried;
        best.push(score, row);
        if (best.threshold() > reached) {
          reached = best.threshold();
          needed = needed_bound(block, q, prescreen, rows.d, metric, reached);
        }
      }
    };
    score_open(begin, [](float) { return true; });
    if (needed < begin) score_open(needed, [&](float bound) { return bound < begin; });  // NaN went through before
    scored.fetch_add(tried, std::memory_order_relaxed);
    float seen = floor.load(std::memory_order_relaxed);
    while (reached > seen && !floor.compare_exchange_weak(seen, reached, std::memory_order_relaxed)) {}
  }
};

}  // namespace

int64_t prescreen_value_bytes(int64_t n, int64_t d) { return round_up(n, kLanes) * round_up(d, 4); }
int64_t prescreen_term_count(int64_t n) { return round_up(n, kLanes) * 4; }

float build_prescreen(const RowsView& rows, const float* mean, Metric metric, uint8_t* values, float* terms) {
  const Kernels& kern = kernels();
  const int64_t ld = round_up(rows.d, kLanes), panel_bytes = round_up(rows.d, 4) * kLanes;
  const IntFilter filter = stored_filter(kern);
  std::vector<float> padded_mean(static_cast<size_t>(ld), 0.0f);
  std::copy_n(mean, rows.d, padded_mean.data());
  const double mean_sq = kern.dot_f64(padded_mean.data(), padded_mean.data(), ld);
  const int64_t panels = round_up(rows.n, kLanes) / kLanes;
  std::vector<float> longest(static_cast<size_t>(panels), 0.0f);
  parallel_for(panels, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> points(static_cast<size_t>(kLanes * ld), 0.0f);
    double bias[kLanes];
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * kLanes, count = std::min<int64_t>(kLanes, rows.n - first);
      load_rows(rows, first, first + count, points.data(), ld);
      for (int64_t i = 0; i < count; ++i) {
        const float* x = points.data() + i * ld;
        longest[p] = std::max(longest[p], static_cast<float>(std::sqrt(kern.dot_f64(x, x, ld))));
        bias[i] = metric == Metric::l2 ? -0.5 * kern.l2_f64(x, padded_mean.data(), ld)
                                       : kern.dot_f64(x, padded_mean.data(), ld) - mean_sq;
      }
      pack_int_panel(kern, filter, points.data(), count, rows.d, ld, padded_mean.data(), bias, values + p * panel_bytes,
                     terms + p * 4 * kLanes);
    }
  });
  return panels ? *std::max_element(longest.begin(), longest.end()) * (1 + 0x1p-22f) : 0.0f;
}

void PrescreenedCodes::scan(const InvertedLists& /*lists*/, const ScanCall& call, const HitArrays& out) const {
  const RowsView& rows = view_;
  const int64_t nq = call.nq, k = call.k;
  Searcher searcher{rows, prescreen_, call.metric, call.skip};
  std::vector<float> mean(static_cast<size_t>(round_up(rows.d, kLanes)), 0.0f);
  std::copy_n(prescreen_.mean, rows.d, mean.data());
  const int64_t tiles = std::max<int64_t>(1, (rows.n + kTileRows - 1) / kTileRows), threads = num_threads();
  // Enough query blocks keep all threads busy; with fewer, threads share the rows of a block.
  const int64_t per_block = std::clamp<int64_t>((nq + threads - 1) / threads, 1, kQueryBlock);
  const int64_t blocks = (nq + per_block - 1) / per_block;
  const int64_t pieces = blocks >= threads ? 1 : std::min(tiles, 4 * threads);
  std::vector<std::vector<TopK>> best(static_cast<size_t>(blocks * pieces));
  std::vector<std::atomic<float>> floor(static_cast<size_t>(nq));
  for (auto& value : floor) value.store(-kInfinity);
  parallel_for(blocks * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = (task / pieces) * per_block, count = std::min(per_block, nq - first), piece = task % pieces;
      const QueryBlock block(searcher.kern, call.queries + first * rows.d, count, rows.d, mean.data(), call.metric);
      best[task].assign(static_cast<size_t>(count), TopK(k));
      searcher.scan(block, count, tiles * piece / pieces * kTileRows,
                    std::min(rows.n, tiles * (piece + 1) / pieces * kTileRows), best[task], floor.data() + first);
    }
  });
  for (int64_t q = 0; q < nq; ++q) {
    std::vector<TopK>* parts = best.data() + (q / per_block) * pieces;
    TopK& merged = parts[0][q % per_block];
    for (int64_t piece = 1; piece < pieces; ++piece) merged.merge(parts[piece][q % per_block]);
    merged.write(out.scores + q * k, out.positions + q * k);
  }
  scored_.fetch_add(searcher.scored.load());
}

}  // namespace cluscomp
