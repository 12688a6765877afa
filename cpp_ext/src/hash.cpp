#include "cluscomp/hash.h"

#include <bit>
#include <cstring>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

constexpr int64_t kTexts = 4096;  // of one piece of work
constexpr uint64_t kPrime1 = 0x9e3779b185ebca87, kPrime2 = 0xc2b2ae3d27d4eb4f, kPrime3 = 0x165667b19e3779f9,
                   kPrime4 = 0x85ebca77c2b2ae63, kPrime5 = 0x27d4eb2f165667c5;

template <class Word>
uint64_t read(const uint8_t* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

uint64_t round(uint64_t lane, uint64_t word) { return std::rotl(lane + word * kPrime2, 31) * kPrime1; }

uint64_t merge(uint64_t hash, uint64_t lane) { return (hash ^ round(0, lane)) * kPrime1 + kPrime4; }

// Four lanes over the whole stripes of 32 bytes.
uint64_t hash_stripes(const uint8_t*& at, const uint8_t* end) {
  uint64_t lanes[4] = {kPrime1 + kPrime2, kPrime2, 0, uint64_t{0} - kPrime1};
  for (; end - at >= 32; at += 32)
    for (int i = 0; i < 4; ++i) lanes[i] = round(lanes[i], read<uint64_t>(at + 8 * i));
  uint64_t hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) + std::rotl(lanes[3], 18);
  for (const uint64_t lane : lanes) hash = merge(hash, lane);
  return hash;
}

uint64_t avalanche(uint64_t hash) {
  hash = (hash ^ hash >> 33) * kPrime2;
  hash = (hash ^ hash >> 29) * kPrime3;
  return hash ^ hash >> 32;
}

}  // namespace

uint64_t hash_bytes(const uint8_t* bytes, int64_t size) {
  const uint8_t *at = bytes, *end = bytes + size;
  uint64_t hash = size >= 32 ? hash_stripes(at, end) : kPrime5;
  hash += static_cast<uint64_t>(size);
  for (; end - at >= 8; at += 8) hash = std::rotl(hash ^ round(0, read<uint64_t>(at)), 27) * kPrime1 + kPrime4;
  for (; end - at >= 4; at += 4) hash = std::rotl(hash ^ read<uint32_t>(at) * kPrime1, 23) * kPrime2 + kPrime3;
  for (; at < end; ++at) hash = std::rotl(hash ^ *at * kPrime5, 11) * kPrime1;
  return avalanche(hash);
}

void hash_texts(const uint8_t* blob, const int64_t* offsets, int64_t n, uint64_t* out) {
  parallel_for(n, kTexts, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = hash_bytes(blob + offsets[i], offsets[i + 1] - offsets[i]);
  });
}

void hash_integers(const int64_t* values, int64_t n, uint64_t* out) {
  parallel_for(n, kTexts, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = hash_bytes(reinterpret_cast<const uint8_t*>(values + i), 8);
  });
}

}  // namespace cluscomp
