#include <algorithm>
#include <vector>

#include "cluscomp/interleaved_codes.h"
#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

void transpose(const uint8_t* in, int64_t rows, int64_t columns, uint8_t* out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) out[c * rows + r] = in[r * columns + c];
}

constexpr int64_t kPieceRows = 4096;  // of one piece of work

}  // namespace

void take_interleaved(const uint8_t* codes, int64_t bytes, const int64_t* offsets, int64_t n_lists, const int64_t* rows,
                      int64_t n, uint8_t* out) {
  parallel_for(n, kPieceRows, [&](int64_t begin, int64_t end) {
    int64_t first = 0, stop = 0;  // rows of the list of the row before
    for (int64_t i = begin; i < end; ++i) {
      if (rows[i] < first || rows[i] >= stop) {
        const int64_t* next = std::upper_bound(offsets, offsets + n_lists + 1, rows[i]);
        first = next[-1];
        stop = *next;
      }
      const int64_t in_group = (rows[i] - first) % kGroupRows, group = rows[i] - in_group;
      const int64_t stride = std::min(kGroupRows, stop - group);
      const uint8_t* at = codes + group * bytes + in_group;
      for (int64_t j = 0; j < bytes; ++j) out[i * bytes + j] = at[j * stride];
    }
  });
}

void interleave_codes(uint8_t* codes, int64_t bytes, const int64_t* offsets, int64_t n_lists, bool undo) {
  parallel_for(n_lists, 16, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> group(static_cast<size_t>(kGroupRows * bytes));
    for (int64_t list = begin; list < end; ++list)
      for (int64_t row = offsets[list]; row < offsets[list + 1]; row += kGroupRows) {
        const int64_t n = std::min(kGroupRows, offsets[list + 1] - row);
        uint8_t* at = codes + row * bytes;
        std::copy_n(at, n * bytes, group.data());
        undo ? transpose(group.data(), bytes, n, at) : transpose(group.data(), n, bytes, at);
      }
  });
}

}  // namespace cluscomp
