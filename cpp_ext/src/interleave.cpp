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

}  // namespace

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
