// The filter of assignment: bfloat16 copies and bounds on tensor cores; assign_decide.h then decides in float64.
//
// The proof is that of include/cluscomp/assign.h. With x' = X + ex and c' = C + ec, X and C being bfloat16,
//     s(x, c) = <x', c'> + b(c) <= <X, C> + b + |X| |ec| + |ex| |c'|
// The filter keeps, for every row, the kKept pairs of largest bound and the largest bound among the others. Pairs are
// decided in float64, in the CPU's order of sums, so labels and scores are the CPU's, bit for bit; where a bound that
// was not kept could still win, the row is compared with all centroids.
#pragma once

#include "assign_sums.h"

namespace cluscomp::cuda {

constexpr float kTiny = 0x1p-56f;     // added to norms: squares of values below 2^-63 may vanish
constexpr float kTooLarge = 0x1p60f;  // norms from here on: products could overflow, nothing is filtered

// bfloat16 copies of centred vectors, and upper bounds of |X| and |ex|. Vectors beyond `count` become zero.
template <class T>
struct Centre {
  Vectors<T> source;
  const float* mean;  // (groups, d)
  int64_t d;
  Packed packed;
  uint16_t* values;
  float *norms, *errors;

  static constexpr size_t kShared = 2 * kThreads * sizeof(float);

  CLUSCOMP_DEVICE void operator()(Block& block) const {
    const LaneValues<float> squares{reinterpret_cast<float*>(block.shared)}, losses{squares.values + kThreads};
    block.threads([&](int t) {
      const int64_t vector = block.index * kWarps + t / 32;
      squares.at(t) = losses.at(t) = 0.0f;
      if (vector >= packed.vectors()) return;
      const int64_t group = vector / packed.padded, i = vector % packed.padded;
      const bool inside = i < source.count;
      for (int64_t j = t % 32; j < packed.depth; j += 32) {
        const float x = inside && j < d ? value_of(source.at(group, i)[j]) - mean[group * d + j] : 0.0f;
        const uint16_t rounded = to_bfloat(x);
        const float kept = value_of(Bfloat{rounded}), lost = x - kept;
        values[vector * packed.depth + j] = rounded;
        squares.at(t) += kept * kept;
        losses.at(t) += lost * lost;
      }
    });
    block.threads([&](int t) {
      const int64_t vector = block.index * kWarps + t / 32;
      if (t % 32 != 0 || vector >= packed.vectors()) return;
      const float grown = 1.0f + static_cast<float>(d + 64) * 0x1p-22f;  // rounding of the sums
      const float norm = sqrtf(squares.sum(t / 32)) * grown + kTiny;
      norms[vector] = norm;
      errors[vector] = sqrtf(losses.sum(t / 32)) * grown + norm * 0x1p-22f + kTiny;  // and of x - mean
    });
  }
};

// Per centroid: b rounded up, |ec| with the rounding of the tensor cores' sums, |c'|. Padding can never win.
struct Terms {
  Vectors<float> centroids;
  const float *mean, *norms, *errors;
  Shape shape;
  bool l2;
  float *bias, *error, *norm;

  static constexpr size_t kShared = 2 * kThreads * sizeof(double);

  CLUSCOMP_DEVICE void operator()(Block& block) const {
    double* part = reinterpret_cast<double*>(block.shared);
    const int64_t padded = shape.padded_centroids();
    block.threads([&](int t) {
      const int64_t vector = block.index * kWarps + t / 32;
      part[t] = part[kThreads + t] = 0;
      if (vector >= padded * shape.groups || vector % padded >= shape.k) return;
      const float *c = centroids.at(vector / padded, vector % padded), *mu = mean + vector / padded * shape.d;
      part[t] = lane_part(c, mu, shape.d, t % 32, l2);
      part[kThreads + t] = l2 ? 0 : lane_part(mu, mu, shape.d, t % 32, false);
    });
    block.threads([&](int t) {
      const int64_t vector = block.index * kWarps + t / 32;
      if (t % 32 != 0 || vector >= padded * shape.groups) return;
      if (vector % padded >= shape.k) {
        bias[vector] = -INFINITY;
        error[vector] = norm[vector] = 0.0f;
        return;
      }
      const double count = static_cast<double>(shape.d + 64), centred = norms[vector] + errors[vector];
      // Inner products are compared as <x, c>, not <x, c'>: their rounding grows with the mean, too.
      const double mean_sq = l2 ? 0 : fold(part + kThreads + t), offset = count * 0x1p-52 * sqrt(mean_sq);
      const double b = l2 ? -0.5 * fold(part + t) : fold(part + t) - mean_sq;
      const double slack = 0x1p-20 * fabs(b) + offset * (sqrt(mean_sq) + centred) + count * 0x1p-120;
      const bool bounded = norms[vector] < kTooLarge && fabs(b) < 0x1p120;
      bias[vector] = static_cast<float>(b + slack);
      error[vector] =
          bounded ? static_cast<float>(errors[vector] + count * 0x1p-21 * norms[vector] + offset) : INFINITY;
      norm[vector] = static_cast<float>(centred);
    });
  }
};

// The kKept largest bounds, falling, and the largest of the others.
struct Best {
  float bound[kKept], rest;
  int32_t label[kKept];

  CLUSCOMP_DEVICE void clear() {
    for (int i = 0; i < kKept; ++i) {
      bound[i] = -INFINITY;
      label[i] = -1;
    }
    rest = -INFINITY;
  }
  CLUSCOMP_DEVICE void insert(float value, int32_t from) {
    if (value != value) value = INFINITY;  // infinity - infinity: anything is possible
    for (int i = 0; i < kKept; ++i) {      // the rest moves down by one
      const bool better = value > bound[i];
      const float moved = better ? bound[i] : value;
      const int32_t moved_label = better ? label[i] : from;
      if (better) {
        bound[i] = value;
        label[i] = from;
      }
      value = moved;
      from = moved_label;
    }
    rest = fmaxf(rest, value);
  }
};

struct Filter {
  const uint16_t *x, *c;                   // (groups, padded, depth)
  const float *x_norm, *x_error;           // (groups, padded rows)
  const float *c_bias, *c_error, *c_norm;  // (groups, padded centroids)
  Shape shape;
  float* bounds;    // (groups, padded rows, kKept + 1)
  int32_t* labels;  // (groups, padded rows, kKept)

  static constexpr int kRowTiles = 2, kColumnTiles = 4;  // 16 x 16 products of one warp: 4 x 2 warps cover 128 x 128
  struct Sums {
    Fragment tile[kRowTiles][kColumnTiles];
  };

  CLUSCOMP_DEVICE void operator()(Block& block) const {
    const int64_t padded = shape.padded_rows(), group = block.index / (padded / kTile);
    const int64_t first_row = group * padded + block.index % (padded / kTile) * kTile;
    const int64_t first_centroid = group * shape.padded_centroids();
    PerThread<Best> best;
    block.threads([&](int t) { best[t].clear(); });
    for (int64_t at = 0; at < shape.padded_centroids(); at += kTile) {
      multiply_tile(block, first_row, first_centroid + at);
      block.threads([&](int t) { scan(block, t, first_row, first_centroid + at, at, best[t]); });
    }
    hand_on(block, first_row, best);
  }

 private:
  CLUSCOMP_DEVICE uint16_t* operand(Block& block, int64_t step, int side) const {
    return reinterpret_cast<uint16_t*>(block.shared) + ((step % kStages) * 2 + side) * (kTile * kOperandStride);
  }
  CLUSCOMP_DEVICE int width(int64_t step) const {
    const int64_t left = shape.padded_depth() - step * kDepth;
    return static_cast<int>(left < kDepth ? left : kDepth);
  }

  CLUSCOMP_DEVICE void copy(Block& block, int t, int64_t step, int64_t row, int64_t centroid) const {
    const int pieces = width(step) / 8;  // of 16 bytes
    for (int i = t; i < kTile * pieces; i += kThreads) {
      const int line = i / pieces, piece = i % pieces * 8;
      const int64_t from = step * kDepth + piece, depth = shape.padded_depth();
      copy16(operand(block, step, 0) + line * kOperandStride + piece, x + (row + line) * depth + from);
      copy16(operand(block, step, 1) + line * kOperandStride + piece, c + (centroid + line) * depth + from);
    }
  }

  // Leaves the products of 128 rows with 128 centroids in shared memory.
  CLUSCOMP_DEVICE void multiply_tile(Block& block, int64_t row, int64_t centroid) const {
    const int64_t steps = div_up(shape.padded_depth(), kDepth);
    PerWarp<Sums> sums;
    block.warps([&](int warp) {
      for (auto& line : sums[warp].tile)
        for (auto& tile : line) clear(tile);
    });
    block.threads([&](int t) { copy(block, t, 0, row, centroid); });
    for (int64_t step = 0; step < steps; ++step) {
      block.threads([&](int) { copies_done(); });
      if (step + 1 < steps) block.threads([&](int t) { copy(block, t, step + 1, row, centroid); });
      block.warps([&](int warp) { multiply_step(block, step, warp, sums[warp]); });
    }
    block.warps([&](int warp) {
      for (int r = 0; r < kRowTiles; ++r)
        for (int k = 0; k < kColumnTiles; ++k)
          store(reinterpret_cast<float*>(block.shared) + row_of(warp, r) * kScoreStride + column_of(warp, k),
                sums[warp].tile[r][k]);
    });
  }
  CLUSCOMP_DEVICE static int row_of(int warp, int tile) { return (warp / 2 * kRowTiles + tile) * 16; }
  CLUSCOMP_DEVICE static int column_of(int warp, int tile) { return (warp % 2 * kColumnTiles + tile) * 16; }

  CLUSCOMP_DEVICE void multiply_step(Block& block, int64_t step, int warp, Sums& sums) const {
    for (int at = 0; at < width(step); at += 16) {
      LeftTile rows[kRowTiles];
      for (int r = 0; r < kRowTiles; ++r)
        load(rows[r], operand(block, step, 0) + row_of(warp, r) * kOperandStride + at);
      for (int k = 0; k < kColumnTiles; ++k) {
        RightTile points;
        load(points, operand(block, step, 1) + column_of(warp, k) * kOperandStride + at);
        for (int r = 0; r < kRowTiles; ++r) multiply(sums.tile[r][k], rows[r], points);
      }
    }
  }

  // Two threads a row. They start at different columns, so that a warp meets all banks of shared memory.
  CLUSCOMP_DEVICE void scan(Block& block, int t, int64_t first_row, int64_t first_centroid, int64_t first_label,
                            Best& best) const {
    const int row = t % kTile, half = t / kTile * (kTile / 2);
    const float* score = reinterpret_cast<const float*>(block.shared) + row * kScoreStride;
    const float norm = x_norm[first_row + row], error = x_error[first_row + row];
    for (int i = 0; i < kTile / 2; ++i) {
      const int column = half + (i + row / 8) % (kTile / 2);
      const int64_t point = first_centroid + column;
      const float bound = fmaf(norm, c_error[point], fmaf(error, c_norm[point], score[column] + c_bias[point]));
      if (!(bound <= best.rest)) best.insert(bound, static_cast<int32_t>(first_label + column));
    }
  }

  CLUSCOMP_DEVICE void hand_on(Block& block, int64_t first_row, PerThread<Best>& best) const {
    Best* others = reinterpret_cast<Best*>(block.shared);
    block.threads([&](int t) {
      if (t >= kTile) others[t - kTile] = best[t];
    });
    block.threads([&](int t) {
      if (t >= kTile) return;
      Best& mine = best[t];
      for (int i = 0; i < kKept; ++i) mine.insert(others[t].bound[i], others[t].label[i]);
      const int64_t row = first_row + t;
      const float rest = fmaxf(mine.rest, others[t].rest);
      for (int i = 0; i < kKept; ++i) {
        bounds[row * (kKept + 1) + i] = mine.bound[i];
        labels[row * kKept + i] = mine.label[i];
      }
      bounds[row * (kKept + 1) + kKept] = x_norm[row] < kTooLarge ? rest : INFINITY;
    });
  }
};

}  // namespace cluscomp::cuda
