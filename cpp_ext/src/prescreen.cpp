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

// The queries of one block, quantised for one prescreen at a time.
struct QueryBlock {
  const Kernels& kern;
  const int64_t count, d, ld = round_up(d, kLanes);
  const Metric metric;
  std::vector<float> padded, norms;
  // For the prescreen that was entered last:
  std::vector<float> mean, centred, terms, squares;
  std::vector<double> mean_dot;
  std::vector<int8_t> integers;
  std::vector<int32_t> sums;

  QueryBlock(const Kernels& kernels, const float* queries, int64_t n, int64_t dim, Metric of)
      : kern(kernels), count(n), d(dim), metric(of) {
    padded.assign(static_cast<size_t>(count * ld), 0.0f);
    mean.assign(static_cast<size_t>(ld), 0.0f);
    centred.resize(static_cast<size_t>(ld));
    integers.resize(static_cast<size_t>((count + 1) * ld));
    terms.resize(static_cast<size_t>(count * 4));
    squares.resize(static_cast<size_t>(count));
    norms.resize(static_cast<size_t>(count));
    mean_dot.resize(static_cast<size_t>(count));
    sums.resize(static_cast<size_t>(count));
    for (int64_t q = 0; q < count; ++q) {
      std::copy_n(queries + q * d, d, padded.data() + q * ld);
      norms[q] = static_cast<float>(std::sqrt(kern.dot_f64(row(q), row(q), ld)));
    }
  }
  const float* row(int64_t q) const { return padded.data() + q * ld; }
  void enter(const PrescreenView& prescreen) {
    const IntFilter filter = stored_filter(kern);
    const int64_t width = round_up(d, 4);
    std::copy_n(prescreen.mean, d, mean.data());
    for (int64_t q = 0; q < count; ++q) {
      const float largest = kern.centre(row(q), mean.data(), centred.data(), ld, &squares[q]);
      sums[q] = quantize_row(kern, filter, centred.data(), largest, squares[q], d, ld, integers.data() + q * width,
                             terms.data() + q * 4);
      mean_dot[q] = metric == Metric::ip ? kern.dot_f64(row(q), mean.data(), ld) : 0.0;
    }
  }
};

// The bound that a row needs to reach `score`, the k-th best so far: the terms that the filter leaves out are taken
// off, and the rounding of the float32 score is granted to the row.
float needed_bound(const QueryBlock& block, int64_t q, const PrescreenView* prescreen, float score) {
  if (!prescreen || score == -kInfinity) return -kInfinity;
  const double slack = static_cast<double>(rounding_slack(block.d)), value = static_cast<double>(score);
  if (block.metric == Metric::ip) {
    const double rounding = slack * static_cast<double>(block.norms[q]) * static_cast<double>(prescreen->largest_norm);
    return static_cast<float>(value - block.mean_dot[q] - rounding -
                              0x1p-22 * (std::fabs(value) + std::fabs(block.mean_dot[q])) - kVanished);
  }
  const double square = static_cast<double>(block.squares[q]);
  return static_cast<float>(0.5 * (square + value) - (slack + 0x1p-22) * (square + std::fabs(value)) - kVanished);
}

// The tiles of all parts, counted through.
class Tiles {
 public:
  explicit Tiles(const Parts& parts) {
    for (int64_t i = 0; i < parts.count(); ++i)
      firsts_.push_back(count() + (parts[i].codes->rows() + kTileRows - 1) / kTileRows);
  }
  int64_t count() const { return firsts_.back(); }
  // each(part, first row, last row) for the parts in which the tiles [begin, end) stand.
  template <class Each>
  void each_part(int64_t begin, int64_t end, Each each) const {
    int64_t part = std::upper_bound(firsts_.begin(), firsts_.end(), begin) - firsts_.begin() - 1;
    for (; begin < end; ++part) {
      const int64_t stop = std::min(end, firsts_[part + 1]);
      if (begin < stop) each(part, (begin - firsts_[part]) * kTileRows, (stop - firsts_[part]) * kTileRows);
      begin = stop;
    }
  }

 private:
  std::vector<int64_t> firsts_{0};
};

// The queries of one block against the rows of parts.
class Search {
 public:
  // floor: of each query, shared between threads.
  Search(const Parts& parts, const ScanCall& call, QueryBlock& block, std::vector<TopK>& best,
         std::atomic<float>* floor)
      : parts_(parts),
        call_(call),
        block_(block),
        best_(best),
        floor_(floor),
        bounds_(static_cast<size_t>(block.count * kTileRows)),
        open_(static_cast<size_t>(kTileRows)) {}

  void scan(int64_t number, int64_t begin, int64_t end) {
    part_ = &parts_[number];
    const auto& codes = static_cast<const FloatCodes&>(*part_->codes);
    const PrescreenedCodes* screened = codes.prescreened();
    rows_ = &codes.view();
    prescreen_ = screened ? &screened->prescreen() : nullptr;
    if (prescreen_) block_.enter(*prescreen_);
    int64_t scored = 0;
    for (int64_t first = begin; first < std::min(end, rows_->n); first += kTileRows) {
      const int64_t width = std::min(kTileRows, rows_->n - first);
      bound(first, width);
      for (int64_t q = 0; q < block_.count; ++q) scored += verify(q, first, width);
    }
    if (screened) screened->count(scored);
  }

 private:
  const Parts& parts_;
  const ScanCall& call_;
  QueryBlock& block_;
  std::vector<TopK>& best_;
  std::atomic<float>* floor_;
  std::vector<float> bounds_, leaders_;
  std::vector<int32_t> open_;
  const Parts::Part* part_ = nullptr;
  const RowsView* rows_ = nullptr;
  const PrescreenView* prescreen_ = nullptr;  // of the part; none where all rows are scored

  void bound(int64_t first, int64_t width) {
    if (!prescreen_) return std::fill(bounds_.begin(), bounds_.end(), kInfinity);
    const int64_t d4 = round_up(block_.d, 4) / 4, panel = first / kLanes;
    const auto panels = static_cast<int>(round_up(width, kLanes) / kLanes);
    stored_filter(block_.kern)
        .bounds(block_.integers.data(), static_cast<int>(block_.count), prescreen_->values + panel * d4 * 4 * kLanes,
                prescreen_->terms + panel * 4 * kLanes, block_.terms.data(), block_.sums.data(), panels, d4,
                bounds_.data(), kTileRows);
  }

  // Scores the rows of one tile whose bound reaches the threshold; returns how many. Before there is one, the rows of
  // the k best bounds go first, after which few others still reach.
  int64_t verify(int64_t q, int64_t first, int64_t width) {
    TopK& best = best_[q];
    std::atomic<float>& floor = floor_[q];
    const float* query = block_.row(q);
    const float* bounds = bounds_.data() + q * kTileRows;
    float reached = std::max(best.threshold(), floor.load(std::memory_order_relaxed));
    float needed = needed_bound(block_, q, prescreen_, reached);
    float begin = needed;
    if (!best.full() && best.k() < width) begin = std::max(needed, reach_of_best(bounds, width, best.k(), leaders_));
    int64_t tried = 0;
    const auto score_open = [&](float from, auto&& is_open) {
      const int64_t found = block_.kern.select(bounds, round_up(width, kLanes), from, open_.data());
      for (int64_t i = 0; i < found; ++i) {
        const int64_t at = open_[i], row = first + at;
        if (at >= width || bounds[at] < needed || !is_open(bounds[at]) || call_.skips(*part_, row)) continue;
        const float score = call_.metric == Metric::ip ? block_.kern.dot(query, rows_->row(row), rows_->type, rows_->d)
                                                       : -block_.kern.l2(query, rows_->row(row), rows_->type, rows_->d);
        ++tried;
        best.push(score, part_->first + row);
        if (best.threshold() > reached) {
          reached = best.threshold();
          needed = needed_bound(block_, q, prescreen_, reached);
        }
      }
    };
    score_open(begin, [](float) { return true; });
    if (needed < begin) score_open(needed, [&](float bound) { return bound < begin; });  // NaN went through before
    float seen = floor.load(std::memory_order_relaxed);
    while (reached > seen && !floor.compare_exchange_weak(seen, reached, std::memory_order_relaxed)) {}
    return tried;
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

void scan_prescreened(const Parts& parts, const ScanCall& call, const HitArrays& out) {
  const int64_t nq = call.nq, k = call.k, d = parts.form().dim();
  const Kernels& kern = kernels();
  const Tiles all(parts);
  const int64_t tiles = std::max<int64_t>(1, all.count()), threads = num_threads();
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
      QueryBlock block(kern, call.queries + first * d, count, d, call.metric);
      best[task].assign(static_cast<size_t>(count), TopK(k));
      Search search(parts, call, block, best[task], floor.data() + first);
      all.each_part(all.count() * piece / pieces, all.count() * (piece + 1) / pieces,
                    [&](int64_t part, int64_t row, int64_t stop) { search.scan(part, row, stop); });
    }
  });
  for (int64_t q = 0; q < nq; ++q) {
    std::vector<TopK>* parts_of_block = best.data() + (q / per_block) * pieces;
    TopK& merged = parts_of_block[0][q % per_block];
    for (int64_t piece = 1; piece < pieces; ++piece) merged.merge(parts_of_block[piece][q % per_block]);
    merged.write(out.scores + q * k, out.positions + q * k);
  }
}

}  // namespace cluscomp
