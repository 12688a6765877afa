// Which rows a search leaves out: one bit for each position.
#pragma once

#include <cstdint>

namespace cluscomp {

struct SkipBits {
  const uint8_t* bytes = nullptr;  // bit p % 8 of byte p / 8 stands for position p; 1 = left out; null: none is
  int64_t n = 0;                   // positions; lists in a file are not trusted, and others than these have no bit

  static int64_t bytes_of(int64_t n) { return (n + 7) / 8; }
  bool operator[](int64_t position) const {
    return bytes && static_cast<uint64_t>(position) < static_cast<uint64_t>(n) &&
           (bytes[position >> 3] >> (position & 7) & 1) != 0;
  }
};

}  // namespace cluscomp
