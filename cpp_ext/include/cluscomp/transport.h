// One step of entropic optimal transport (Sinkhorn) over blocks of rows. No plan is stored: every sweep forms its
// entries
//     P[i][j] = 2^(row[i] + column[j] - scale * cost[i][j])
// a few rows at a time, each entry once: the row's sum gives its weight, and weighted entries go to the column sums.
//
// A row keeps the pair (stable[i], weight[i]) with 2^row[i] = 2^stable[i] * weight[i]; stable[i] moves only when the
// sum of 2^(stable[i] + column[j] - scale * cost) leaves [2^-40, 2^40], so that float32 never over- or underflows.
// Partial sums are made for chunks of chunk_rows() rows and added in row order: the same bits for any thread count.
#pragma once

#include <cstdint>
#include <vector>

#include "cluscomp/assign.h"
#include "cluscomp/pack.h"
#include "cluscomp/rows.h"

namespace cluscomp {

class Transport {
 public:
  // Stored costs (n, k) row-major; the caller keeps them alive.
  Transport(const float* cost, int64_t n, int64_t k);
  // Costs made from rows when needed, in float32: -2 (l2) or -1 (ip) times <x - centre, point>. What is the same for
  // all of a row or a column is left out: terms that large would take the digits of the rest.
  Transport(const RowsView& x, const float* points, const float* centre, int64_t k, Metric metric);

  struct Columns {
    double scale;
    const double* shift;  // (columns): column[j]; one more than k where there is a virtual column of cost zero
    int64_t count;        // k or k + 1
  };
  struct RowState {
    double* stable;      // (n), NaN where unknown
    double* weight;      // (n)
    const double* lift;  // (n): scale * what was taken off the costs of the row; beside them, the virtual column of
                         // cost zero stands so much higher
  };

  // New row weights for the rows [begin, end), and sums (count) += the columns' sums. mass (n) >= 0: what a row gives.
  // power: 1 for exact row masses; gamma / (gamma + epsilon) where they are relaxed.
  void sweep(int64_t begin, int64_t end, const Columns& columns, const double* mass, double power, RowState rows,
             double* sums) const;
  // most (count) = max(most, row[i] - scale * cost), over the rows of positive weight.
  void column_max(int64_t begin, int64_t end, const Columns& columns, RowState rows, double* most) const;
  // sums (count) += sum_i 2^(row[i] + column[j] - scale * cost) with the given row state.
  void column_sums(int64_t begin, int64_t end, const Columns& columns, RowState rows, double* sums) const;
  // labels[i] = argmax_j < k of column[j] - scale * cost, ties to the lowest; labels are those of rows from `begin`.
  void labels(int64_t begin, int64_t end, const Columns& columns, int32_t* labels) const;
  // Costs of the rows [begin, end) as the other calls see them: out (end - begin, k).
  void costs(int64_t begin, int64_t end, float* out) const;

  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t d() const { return x_.d; }
  int64_t chunk_rows() const;

 private:
  struct Tile;

  const Kernels& kern_;
  int64_t n_, k_;
  const float* cost_ = nullptr;
  RowsView x_{nullptr, RowType::f32, 0, 0, 0};
  float factor_ = 0;
  int64_t ld_ = 0;  // of centred rows
  std::vector<float> centre_;
  FloatPanels panels_;

  Tile tile(int64_t row, int64_t rows) const;
  template <class Body>
  void for_tiles(int64_t begin, int64_t end, int64_t width, double* total, bool largest, Body body) const;
};

}  // namespace cluscomp
