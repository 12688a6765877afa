// The scan of interleaved RaBitQ codes: the byte shuffles of 4-bit codes sum each plane of bits, and the factors of the
// rows make scores of the sums, 16 rows at a time. Once no row of 64 can reach its limit whatever the planes that
// follow hold, these are not read.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "bit_plane_tables.h"
#include "cluscomp/rabitq_codes.h"
#include "interleaved_scan.h"

namespace cluscomp {
namespace {

// Bit s of a mask in the order of sum_slot, for 32 rows, becomes bit r of row r.
uint64_t by_row(uint64_t slots) {
  const auto spread = [](uint64_t x) {  // bit i of 16 goes to bit 2i
    x = (x | x << 8) & 0x00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f;
    x = (x | x << 2) & 0x33333333;
    return (x | x << 1) & 0x55555555;
  };
  return spread(slots & 0xffff) | spread(slots >> 16 & 0xffff) << 1;
}

// What InterleavedScan needs to know (interleaved_scan.h).
class RabitqForm {
 public:
  using Bound = float;
  struct Tables {
    BitPlaneTables entries;
    const float* products;  // of the query with the centroids that it probes, or null
  };
  static constexpr int kTogether = 1;

  RabitqForm(const Rabitq& rabitq, const ScanCall& call, bool residual)
      : rabitq_(rabitq), call_(call), residual_(residual) {}

  int64_t row_bytes() const { return rabitq_.row_bytes(); }
  static const uint8_t* first_row(const Codes& codes) { return static_cast<const RabitqCodes&>(codes).row(0); }

  Tables make(const float* query, const float* bases) const {
    Tables tables{BitPlaneTables(rabitq_, call_.metric, call_.bars), residual_ ? bases : nullptr};
    tables.entries.fill(query, true, call_.rough);
    return tables;
  }
  void enter(Tables& tables, const Visit& visit, const float* centroid) const {
    tables.entries.enter(centroid, tables.products ? tables.products + visit.probe : nullptr);
  }
  void reach(const CodePair& codes, const Tables* const* tables, const float* limits, int count, uint64_t* masks,
             float* bounds) const {
    const int64_t behind = rabitq_.code_bytes() * kGroupRows;
    alignas(64) float factors[3 * 64];
    kern_.planes.read_factors(codes.first + behind, factors);
    kern_.planes.read_factors(codes.second + behind, factors + 32);
    alignas(64) int32_t sums[kSharedQueries][64] = {};
    int queries[kSharedQueries], left = count;  // those that a row may still reach
    std::iota(queries, queries + count, 0);
    std::fill_n(masks, count, uint64_t{0});
    for (int plane = 0; plane < rabitq_.bits() && left; ++plane) {
      add_plane(codes, plane, tables, queries, left, sums);
      if (plane + 1 < rabitq_.bits() && plane + 1 >= kLeastPlanes)
        left = static_cast<int>(
            std::remove_if(queries, queries + left,
                           [&](int q) { return !may_reach(*tables[q], limits[q], factors, sums[q], plane); }) -
            queries);
    }
    for (int i = 0; i < left; ++i) {
      const int q = queries[i];
      const uint64_t slots =
          kern_.planes.plane_bounds(sums[q], factors, tables[q]->entries.terms(limits[q]), bounds + q * 64);
      masks[q] = slots ? by_row(slots) | by_row(slots >> 32) << 32 : 0;
      if (slots)  // what is no number bounds nothing
        for (float* bound = bounds + q * 64; bound < bounds + (q + 1) * 64; ++bound)
          if (!(*bound == *bound)) *bound = std::numeric_limits<float>::infinity();
    }
  }
  bool limit(const Tables& tables, float threshold, float& least) const {
    least = tables.entries.needed(threshold);
    return true;
  }
  bool rough(const Tables& tables) const { return tables.entries.rough(); }
  float value(const Tables& tables, float bound) const { return tables.entries.value(bound); }
  void exact(const Tables& tables, const uint8_t* const* at, const int64_t* stride, float* out) const {
    const int64_t bytes = row_bytes();
    thread_local std::vector<uint8_t> row;
    row.resize(static_cast<size_t>(bytes));
    const uint8_t* byte = at[0];
    int64_t j = 0;
    for (; j + 8 <= bytes; j += 8) {  // stored at once: a byte that has just been stored cannot be read in a pair
      uint64_t eight = 0;
      for (int i = 0; i < 8; ++i, byte += stride[0]) eight |= uint64_t{*byte} << 8 * i;
      std::memcpy(row.data() + j, &eight, 8);
    }
    for (; j < bytes; ++j, byte += stride[0]) row[j] = *byte;
    out[0] = tables.entries.score(row.data());
  }

 private:
  const Kernels& kern_ = kernels();
  const Rabitq& rabitq_;
  const ScanCall& call_;
  bool residual_;

  static constexpr int kLeastPlanes = 2;  // fewer rule nearly no row out

  // Adds a plane of 64 rows to the sums of `count` queries.
  void add_plane(const CodePair& codes, int plane, const Tables* const* tables, const int* queries, int count,
                 int32_t (*sums)[64]) const {
    const int64_t width = rabitq_.widths()[static_cast<size_t>(plane)], start = rabitq_.start(plane);
    const uint8_t* bytes[kSharedQueries];
    const uint16_t every[kSharedQueries] = {};  // no limit: all sums are wanted
    uint64_t masks[kSharedQueries];
    alignas(64) uint16_t entries[kSharedQueries * 64] = {};
    for (int64_t first = 0, some; first < width; first += some) {
      const int part = rabitq_.part_of(first);
      const int64_t at = (start + first) * kGroupRows;
      some = std::min({kMaxFourBitBytes, width - first, rabitq_.part_end(part) - first});
      for (int i = 0; i < count; ++i) bytes[i] = tables[queries[i]]->entries.bytes() + first * 32;
      kern_.reach_u4({codes.first + at, codes.second + at, codes.ahead + 2 * at}, some, bytes, every, count, masks,
                     entries);
      for (int i = 0; i < count; ++i)
        kern_.planes.add_plane(entries + i * 64, first == 0, tables[queries[i]]->entries.shift(part), sums[queries[i]]);
    }
  }
  // Whether any of 64 rows reaches the limit if all bits of the planes behind this one add the most they can.
  bool may_reach(const Tables& tables, float limit, const float* factors, const int32_t* sums, int plane) const {
    const int rest = rabitq_.bits() - 1 - plane;
    const int32_t most = tables.entries.most_behind(plane);
    alignas(64) int32_t largest[64];
    alignas(64) float bounds[64];
    for (int i = 0; i < 64; ++i) largest[i] = (sums[i] << rest) + most;
    return kern_.planes.plane_bounds(largest, factors, tables.entries.terms(limit), bounds) != 0;
  }
};

}  // namespace

void scan_rabitq(const Parts& parts, const ScanCall& call, const HitArrays& out) {
  const RabitqForm form(static_cast<const RabitqCodes&>(parts.form()).form(), call, parts.coarse() != nullptr);
  InterleavedScan<RabitqForm>::run(form, parts, call, out);
}

}  // namespace cluscomp
