#include "cluscomp/transport.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int kStoredRows = 8, kMadeRows = 32;  // rows of one tile: entries stay in the first-level cache
constexpr int64_t kChunks = 128;                // partial sums at most
constexpr double kSmallest = 0x1p-40, kLargest = 0x1p40;
constexpr double kNothing = -std::numeric_limits<double>::infinity();

template <class T>
T* grown(std::vector<T>& memory, int64_t size) {
  if (static_cast<int64_t>(memory.size()) < size) memory.resize(static_cast<size_t>(size));
  return memory.data();
}

// Memory of one thread.
struct Scratch {
  std::vector<float> raw, centred, cost, entry;
  static Scratch& of_thread() {
    thread_local Scratch scratch;
    return scratch;
  }
};

// The real columns' shifts, padded with -inf to a multiple of 16 lanes; the virtual column's stands beside them.
struct PaddedColumns {
  std::vector<double> shift;
  bool has_virtual;
  double virtual_shift;
  PaddedColumns(const Transport::Columns& columns, int64_t k)
      : shift(static_cast<size_t>(round_up(k, kLanes)), kNothing),
        has_virtual(columns.count > k),
        virtual_shift(has_virtual ? columns.shift[k] : kNothing) {
    std::copy_n(columns.shift, k, shift.begin());
  }
};

}  // namespace

struct Transport::Tile {
  const float* cost;
  int64_t ld, first;
  int rows;
};

Transport::Transport(const float* cost, int64_t n, int64_t k) : kern_(kernels()), n_(n), k_(k), cost_(cost) {}

Transport::Transport(const RowsView& x, const float* points, const float* centre, int64_t k, Metric metric)
    : kern_(kernels()),
      n_(x.n),
      k_(k),
      x_(x),
      factor_(metric == Metric::l2 ? -2.0f : -1.0f),
      ld_(round_up(x.d, kLanes)) {
  std::vector<float> padded(static_cast<size_t>(k * ld_), 0.0f);
  for (int64_t c = 0; c < k; ++c) std::copy_n(points + c * x.d, x.d, padded.data() + c * ld_);
  centre_.assign(static_cast<size_t>(ld_), 0.0f);
  std::copy_n(centre, x.d, centre_.data());
  const std::vector<float> origin(static_cast<size_t>(ld_), 0.0f);
  const std::vector<double> nothing(static_cast<size_t>(k), 0.0);
  panels_ = pack_float(kern_, padded.data(), k, x.d, ld_, origin.data(), nothing.data());
}

int64_t Transport::chunk_rows() const {
  return std::max<int64_t>(64, round_up((n_ + kChunks - 1) / kChunks, kMadeRows));
}

Transport::Tile Transport::tile(int64_t row, int64_t rows) const {
  const int count = static_cast<int>(rows);
  if (cost_) return {cost_ + row * k_, k_, row, count};
  Scratch& s = Scratch::of_thread();
  const int64_t ld = round_up(k_, kLanes);
  float* raw = grown(s.raw, kMadeRows * ld_);
  float* centred = grown(s.centred, kMadeRows * ld_);
  float* cost = grown(s.cost, kMadeRows * ld);
  load_rows(x_, row, row + rows, raw, ld_);
  for (int64_t r = 0; r < rows; ++r) std::fill(raw + r * ld_ + x_.d, raw + (r + 1) * ld_, 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    float unused;
    kern_.centre(raw + r * ld_, centre_.data(), centred + r * ld_, ld_, &unused);
  }
  kern_.filter_f32(centred, ld_, count, panels_.values.data(), panels_.bias.data(), static_cast<int>(ld / kLanes), x_.d,
                   cost, ld);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < k_; ++j) cost[r * ld + j] *= factor_;
  return {cost, ld, row, count};
}

// body(tile, partial) for all tiles; partial (width) belongs to the tile's chunk and starts at 0, or at -inf where the
// largest is wanted. Chunks then go to `total` in row order.
template <class Body>
void Transport::for_tiles(int64_t begin, int64_t end, int64_t width, double* total, bool largest, Body body) const {
  const int64_t chunk = chunk_rows(), chunks = (end - begin + chunk - 1) / chunk, ld = round_up(width, kLanes);
  const int64_t step = cost_ ? kStoredRows : kMadeRows;
  std::vector<double> partial(static_cast<size_t>(chunks * ld), largest ? kNothing : 0.0);
  parallel_for(chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      const int64_t stop = std::min(end, begin + (c + 1) * chunk);
      for (int64_t row = begin + c * chunk; row < stop; row += step) {
        body(tile(row, std::min(step, stop - row)), partial.data() + c * ld);
        if (k_ * (1 + x_.d) > (1 << 14)) check_interrupt();  // a chunk of many rows and columns takes seconds
      }
    }
  });
  const double share = 1.0 / static_cast<double>(n_);
  for (int64_t c = 0; c < chunks; ++c)
    for (int64_t j = 0; j < width; ++j) {
      const double value = partial[c * ld + j];
      total[j] = largest ? std::max(total[j], value) : total[j] + value * share;
    }
}

void Transport::sweep(int64_t begin, int64_t end, const Columns& given, const double* mass, double power,
                      RowState state, double* sums) const {
  const PaddedColumns columns(given, k_);
  const int64_t ld = round_up(given.count, kLanes), real = round_up(k_, kLanes);
  const TransportKernels& kern = kern_.transport;
  for_tiles(begin, end, given.count, sums, false, [&](const Tile& t, double* partial) {
    float* entry = grown(Scratch::of_thread().entry, kMadeRows * ld);
    double* stable = state.stable + t.first;
    const double* lift = state.lift + t.first;
    double total[kMadeRows];
    float weight[kMadeRows];
    const auto fill = [&](int r, int rows) {
      kern.exp_rows(t.cost + r * t.ld, t.ld, rows, k_, columns.shift.data(), stable + r, given.scale, entry + r * ld,
                    ld, total + r);
      for (int i = r; columns.has_virtual && i < r + rows; ++i) {
        if (ld > real) std::fill_n(entry + i * ld + real, ld - real, 0.0f);
        entry[i * ld + k_] = static_cast<float>(std::exp2(columns.virtual_shift + lift[i] + stable[i]));
        total[i] += static_cast<double>(entry[i * ld + k_]);
      }
    };
    fill(0, t.rows);
    for (int r = 0; r < t.rows; ++r) {
      const int64_t row = t.first + r;
      if (!(total[r] > kSmallest && total[r] < kLargest)) {
        int64_t position;
        const double most = kern.best(t.cost + r * t.ld, k_, columns.shift.data(), given.scale, &position);
        stable[r] = -std::max(most, columns.virtual_shift + lift[r]);
        fill(r, 1);
      }
      double w = mass[row] / total[r];
      if (power != 1.0 && mass[row] > 0)
        w = std::exp2(power * (std::log2(mass[row] / total[r]) + stable[r] + lift[r]) - stable[r] - lift[r]);
      state.weight[row] = w;
      weight[r] = static_cast<float>(w * static_cast<double>(n_));
    }
    kern.add_rows(entry, ld, t.rows, ld, weight, partial);
  });
}

namespace {

// log2 of a row's scaling; rows without mass take part in nothing.
void row_exponents(Transport::RowState state, int64_t first, int rows, double* out) {
  for (int r = 0; r < rows; ++r) out[r] = state.stable[first + r] + std::log2(state.weight[first + r]);
}

}  // namespace

void Transport::column_max(int64_t begin, int64_t end, const Columns& given, RowState state, double* most) const {
  for_tiles(begin, end, given.count, most, true, [&](const Tile& t, double* partial) {
    double exponent[kMadeRows];
    row_exponents(state, t.first, t.rows, exponent);
    const double before = given.count > k_ ? partial[k_] : kNothing;
    kern_.transport.raise(t.cost, t.ld, t.rows, k_, exponent, given.scale, partial);
    if (given.count <= k_) return;
    partial[k_] = before;
    for (int r = 0; r < t.rows; ++r) partial[k_] = std::max(partial[k_], exponent[r] + state.lift[t.first + r]);
  });
}

void Transport::column_sums(int64_t begin, int64_t end, const Columns& given, RowState state, double* sums) const {
  const PaddedColumns columns(given, k_);
  const int64_t ld = round_up(given.count, kLanes), real = round_up(k_, kLanes);
  for_tiles(begin, end, given.count, sums, false, [&](const Tile& t, double* partial) {
    float* entry = grown(Scratch::of_thread().entry, kMadeRows * ld);
    double exponent[kMadeRows], unused[kMadeRows];
    float weight[kMadeRows];
    row_exponents(state, t.first, t.rows, exponent);
    std::fill_n(weight, t.rows, static_cast<float>(n_));
    kern_.transport.exp_rows(t.cost, t.ld, t.rows, k_, columns.shift.data(), exponent, given.scale, entry, ld, unused);
    for (int r = 0; columns.has_virtual && r < t.rows; ++r) {
      if (ld > real) std::fill_n(entry + r * ld + real, ld - real, 0.0f);
      entry[r * ld + k_] = static_cast<float>(std::exp2(columns.virtual_shift + state.lift[t.first + r] + exponent[r]));
    }
    kern_.transport.add_rows(entry, ld, t.rows, ld, weight, partial);
  });
}

void Transport::labels(int64_t begin, int64_t end, const Columns& given, int32_t* labels) const {
  const PaddedColumns columns(given, k_);
  for_tiles(begin, end, 0, nullptr, false, [&](const Tile& t, double*) {
    for (int r = 0; r < t.rows; ++r) {
      int64_t position;
      kern_.transport.best(t.cost + r * t.ld, k_, columns.shift.data(), given.scale, &position);
      labels[t.first + r - begin] = static_cast<int32_t>(position);
    }
  });
}

void Transport::costs(int64_t begin, int64_t end, float* out) const {
  for_tiles(begin, end, 0, nullptr, false, [&](const Tile& t, double*) {
    for (int r = 0; r < t.rows; ++r) std::copy_n(t.cost + r * t.ld, k_, out + (t.first + r - begin) * k_);
  });
}

}  // namespace cluscomp
