#include "ward_distances.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cluscomp/pack.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kTile = 16;     // rows and columns of one block of the matrix
constexpr int64_t kWidth = 64;    // products summed in float32 before float64 takes over
constexpr int64_t kAlone = 1024;  // a run of so many rows shares its own work among threads
constexpr size_t kValuesAtOnce = 1 << 24;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Of cosines. Sums of 64 products in float32 are off by less than a fifth of it.
constexpr double kTolerance = 32 * 0x1p-24;

void for_tiles(int64_t n, const std::function<void(int64_t, int64_t)>& body) {
  if (n < kAlone) {
    for (int64_t begin = 0; begin < n; begin += kTile) body(begin, std::min(n, begin + kTile));
  } else {
    parallel_for(n, kTile, body);
  }
}

// Columns [first, first + width) of rows as panels [n / 16][width][16]; rows beyond n are zero.
void pack_columns(const float* rows, int64_t n, int64_t d, int64_t first, int64_t width, float* panels) {
  for (int64_t i = 0; i < round_up(n, kLanes); ++i) {
    float* out = panels + i / kLanes * width * kLanes + i % kLanes;
    for (int64_t j = 0; j < width; ++j) out[j * kLanes] = i < n ? rows[i * d + first + j] : 0.0f;
  }
}

// Inner products of all rows, on and right of the diagonal tiles: float32 within kWidth columns, float64 across.
void products(const Kernels& kern, const float* rows, int64_t d, SquareDistances& out) {
  const int64_t n = out.n, ld = out.ld;
  std::vector<float> panels(static_cast<size_t>(ld * std::min(kWidth, d)));
  const std::vector<float> no_bias(static_cast<size_t>(ld), 0.0f);
  std::fill(out.values.begin(), out.values.end(), 0.0);
  for (int64_t first = 0; first < d; first += kWidth) {
    const int64_t width = std::min(kWidth, d - first);
    pack_columns(rows, n, d, first, width, panels.data());
    for_tiles(n, [&](int64_t begin, int64_t end) {
      thread_local std::vector<float> part;
      part.resize(static_cast<size_t>(kTile * ld));
      const int64_t panel = begin / kLanes;
      kern.filter_f32(rows + begin * d + first, d, static_cast<int>(end - begin),
                      panels.data() + panel * width * kLanes, no_bias.data(), static_cast<int>(ld / kLanes - panel),
                      width, part.data(), ld);
      for (int64_t i = begin; i < end; ++i)
        kern.ward.add(out.row(i) + panel * kLanes, part.data() + (i - begin) * ld, ld - panel * kLanes);
    });
  }
}

// Fills the part below the diagonal from the part above, the diagonal and the padding with infinity.
void mirror(SquareDistances& out) {
  for (int64_t r = 0; r < out.n; r += kTile) {
    check_interrupt();
    const int64_t rows = std::min(out.n, r + kTile);
    for (int64_t c = 0; c < r; c += kTile)
      for (int64_t i = r; i < rows; ++i)
        for (int64_t j = c; j < c + kTile; ++j) out.row(i)[j] = out.row(j)[i];
    for (int64_t i = r; i < rows; ++i) {
      for (int64_t j = r; j < i; ++j) out.row(i)[j] = out.row(j)[i];
      out.row(i)[i] = kInfinity;
      std::fill(out.row(i) + out.n, out.row(i) + out.ld, kInfinity);
    }
  }
}

// 1 / norm, and 0 for a row of length 0: its cosine with everything is 0.
double inverse_norm(double square) { return square > 0 ? 1 / std::sqrt(square) : 0; }

}  // namespace

void SquareDistances::resize(int64_t size) {
  n = size;
  ld = round_up(size, kLanes);
  const auto wanted = static_cast<size_t>(n * ld);
  values.reserve(wanted);
  while (values.size() < wanted) {  // the system takes a second to hand out the two gigabytes of the longest run
    check_interrupt();
    values.resize(std::min(wanted, values.size() + kValuesAtOnce));
  }
  values.resize(wanted);
}

WardDistances::WardDistances(const RowsView& x, int64_t begin, int64_t end, WardInput input)
    : kern_(kernels()), input_(input), n_(end - begin), d_(x.d), rows_(static_cast<size_t>(n_ * d_)) {
  load_rows(x, begin, end, rows_.data(), d_);
  if (input == WardInput::cosine_square) replace_by_cosines();
}

void WardDistances::replace_by_cosines() {
  std::vector<float> square(static_cast<size_t>(n_ * n_));
  std::vector<double> inverses(static_cast<size_t>(n_));
  for (int64_t i = 0; i < n_; ++i)
    inverses[i] = inverse_norm(kern_.dot_f64(rows_.data() + i * d_, rows_.data() + i * d_, d_));
  for_tiles(n_, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j <= i; ++j)
        square[i * n_ + j] = square[j * n_ + i] = static_cast<float>(
            1 - kern_.dot_f64(rows_.data() + i * d_, rows_.data() + j * d_, d_) * inverses[i] * inverses[j]);
  });
  rows_ = std::move(square);
  d_ = n_;
}

void WardDistances::fast(SquareDistances& out) {
  out.resize(n_);
  products(kern_, rows_.data(), d_, out);
  std::vector<double> norms(static_cast<size_t>(out.ld), 0.0);
  for (int64_t i = 0; i < n_; ++i) norms[i] = inverse_norm(out.row(i)[i]);
  for (int64_t i = 0; i < n_; ++i) {
    const int64_t at = i / kTile * kTile;
    kern_.ward.cosines(out.row(i) + at, norms.data() + at, norms[i], out.ld - at);
  }
  mirror(out);
  out.tolerance = kTolerance;
}

void WardDistances::exact(SquareDistances& out) {
  out.resize(n_);
  out.tolerance = 0;
  const float* rows = rows_.data();
  std::vector<double> inverses;
  if (input_ == WardInput::cosine_condensed)
    for (int64_t i = 0; i < n_; ++i) inverses.push_back(inverse_norm(kern_.dot_f64(rows + i * d_, rows + i * d_, d_)));
  for_tiles(n_, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      check_interrupt();  // a row of wide points takes a tenth of a second
      for (int64_t j = i + 1; j < n_; ++j) {
        double& value = out.row(i)[j];
        if (inverses.empty()) {
          value = kern_.l2_f64(rows + i * d_, rows + j * d_, d_);
        } else {
          value = kern_.dot_f64(rows + i * d_, rows + j * d_, d_);
          kern_.ward.cosines(&value, &inverses[j], inverses[i], 1);
        }
      }
    }
  });
  mirror(out);
}

}  // namespace cluscomp
