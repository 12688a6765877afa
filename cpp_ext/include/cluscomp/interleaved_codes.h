// 4-bit product codes laid out for byte shuffles.
#pragma once

#include "cluscomp/pq_codes.h"

namespace cluscomp {

// Within every list, each run of 32 rows, and what is left over at its end, is transposed from [rows][bytes] to
// [bytes][rows]. In place; `undo` transposes back. offsets: (n_lists + 1).
void interleave_codes(uint8_t* codes, int64_t bytes, const int64_t* offsets, int64_t n_lists, bool undo);

// Writes the codes (n, bytes) of some rows of lists that went through interleave_codes as they were before.
void take_interleaved(const uint8_t* codes, int64_t bytes, const int64_t* offsets, int64_t n_lists, const int64_t* rows,
                      int64_t n, uint8_t* out);

// `scan_lists` over interleaved codes. Unless the call allows rough scores, they are those of PqCodes::scorer, bit for
// bit; rough ones are values of sums of 7-bit table entries. Lists are read once for all queries that probe them.
void scan_interleaved(const Parts& parts, const ScanCall& call, const HitArrays& out);

// The same hits where all rows of a part went through interleave_codes as one list. Sooner than `scan_interleaved`
// where lists have few rows. Residual codes take the metric ip only: those of other lists have other tables in l2.
void scan_across_lists(const Parts& parts, const ScanCall& call, const HitArrays& out);

}  // namespace cluscomp
