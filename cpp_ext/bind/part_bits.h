// Bits of the rows of each part that a search leaves out, and the arrays that hold them.
#pragma once

#include <vector>

#include "arrays.h"

namespace cluscomp::bind {

struct PartBits {
  std::vector<In<uint8_t, Vector1>> owners;
  std::vector<SkipBits> bits;  // of each part; empty where no part has any
};

// arrays: (ceil(rows / 8),) uint8 or None of each part. rows_of(part): how many positions it has.
template <class RowsOf>
PartBits bits_of_parts(const nb::list& arrays, int64_t parts, RowsOf rows_of) {
  require_equal(static_cast<int64_t>(arrays.size()), parts, "parts of skip_bits");
  PartBits out;
  for (int64_t i = 0; i < parts; ++i) {
    out.bits.emplace_back();
    if (arrays[i].is_none()) continue;
    out.owners.push_back(nb::cast<In<uint8_t, Vector1>>(arrays[i]));
    out.bits.back() = bits_of(out.owners.back(), rows_of(i));
  }
  return out;
}

}  // namespace cluscomp::bind
