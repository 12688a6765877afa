#include "cluscomp/packed_matrix.h"

#include <algorithm>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

// Rows of one piece: whole groups on every level, as many as leave the caches some room.
int64_t piece_rows(int64_t d) {
  constexpr int64_t kLeast = 12, kMost = 48, kBytes = int64_t{3} << 19;
  return std::clamp(rows_in(kBytes, d * 8) / kLeast * kLeast, kLeast, kMost);
}

// place(row, out) puts one row into its group; times(rows, n, first) multiplies n of them, `first` being the first.
template <class Place, class Times>
void by_pieces(const ProductKernels& kern, int64_t n, int64_t d, Place place, Times times) {
  const int64_t group = kern.group, group_size = (d + kProductColumns - 1) / kProductColumns * kProductColumns * group;
  parallel_for(n, piece_rows(d), [&](int64_t begin, int64_t end) {
    thread_local std::vector<double> rows;
    rows.resize(static_cast<size_t>((end - begin + group - 1) / group * group_size));
    for (int64_t i = begin; i < end; ++i)
      place(i, rows.data() + (i - begin) / group * group_size + (i - begin) % group * kProductColumns);
    times(rows.data(), end - begin, begin);
  });
}

}  // namespace

PackedMatrix::PackedMatrix(const double* matrix, int64_t d, int64_t columns)
    : d_(d),
      columns_(columns),
      panels_(static_cast<size_t>((columns + kProductColumns - 1) / kProductColumns * kProductColumns * d), 0.0) {
  for (int64_t j = 0; j < d; ++j)
    for (int64_t c = 0; c < columns; c += kProductColumns)
      std::copy_n(matrix + j * columns + c, std::min(kProductColumns, columns - c),
                  panels_.data() + c * d + j * kProductColumns);
}

void PackedMatrix::multiply(const RowsView& x, float* out) const {
  const ProductKernels& kern = kernels().product;
  by_pieces(
      kern, x.n, d_,
      [&](int64_t i, double* place) {
        if (x.type == RowType::f32) return kern.widen(static_cast<const float*>(x.row(i)), d_, place);
        thread_local std::vector<float> row;
        row.resize(static_cast<size_t>(d_));
        load_rows(x, i, i + 1, row.data(), d_);
        kern.widen(row.data(), d_, place);
      },
      [&](const double* rows, int64_t n, int64_t first) {
        kern.to_f32(rows, n, panels_.data(), d_, columns_, out + first * columns_, columns_);
      });
}

void PackedMatrix::multiply(const double* x, int64_t n, double* out) const {
  const ProductKernels& kern = kernels().product;
  by_pieces(
      kern, n, d_, [&](int64_t i, double* place) { kern.place(x + i * d_, d_, place); },
      [&](const double* rows, int64_t count, int64_t first) {
        kern.to_f64(rows, count, panels_.data(), d_, columns_, out + first * columns_, columns_);
      });
}

}  // namespace cluscomp
