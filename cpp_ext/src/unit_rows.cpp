#include "cluscomp/unit_rows.h"

#include <cmath>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 17;

// What a row is divided by.
double divisor(double square_sum) { return square_sum == 0 ? 1.0 : std::sqrt(square_sum); }

// take(row number, float32 row) for every row.
template <class Take>
void each_row(const RowsView& x, Take take) {
  parallel_for(x.n, rows_in(kPieceBytes, x.d * 4), [&](int64_t begin, int64_t end) {
    std::vector<float> converted(x.type == RowType::f32 ? 0 : static_cast<size_t>(x.d));
    for (int64_t i = begin; i < end; ++i) {
      if (x.type == RowType::f32) {
        take(i, static_cast<const float*>(x.row(i)));
      } else {
        load_rows(x, i, i + 1, converted.data(), x.d);
        take(i, converted.data());
      }
    }
  });
}

}  // namespace

void row_norms(const RowsView& x, double* out) {
  const Kernels& kern = kernels();
  each_row(x, [&](int64_t i, const float* row) { out[i] = std::sqrt(kern.dot_f64(row, row, x.d)); });
}

void unit_rows(const RowsView& x, float* out) {
  const Kernels& kern = kernels();
  each_row(x, [&](int64_t i, const float* row) {
    kern.product.divide_f32(row, divisor(kern.dot_f64(row, row, x.d)), x.d, out + i * x.d);
  });
}

void unit_rows(const double* x, int64_t n, int64_t d, float* out) {
  const Kernels& kern = kernels();
  parallel_for(n, rows_in(kPieceBytes, d * 8), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const double* row = x + i * d;
      kern.product.divide_f64(row, divisor(kern.product.square_sum(row, d)), d, out + i * d);
    }
  });
}

}  // namespace cluscomp
