// The hash of ids: XXH64 with seed 0 (Collet, "xxHash fast digest algorithm", version 0.1.1 of the specification in
// github.com/Cyan4973/xxHash, doc/xxhash_spec.md). It is the same on every machine and in every process, so it may
// decide what is stored or which process an id belongs to. It is no defence against ids made to collide: those who
// compare by it compare the ids themselves where hashes are equal.
#pragma once

#include <cstdint>

namespace cluscomp {

// Of `size` bytes.
uint64_t hash_bytes(const uint8_t* bytes, int64_t size);

// out (n): of text i, which is blob[offsets[i]] to blob[offsets[i + 1] - 1]. offsets (n + 1) never fall.
void hash_texts(const uint8_t* blob, const int64_t* offsets, int64_t n, uint64_t* out);

// out (n): of the 8 bytes of each number, the lowest first.
void hash_integers(const int64_t* values, int64_t n, uint64_t* out);

}  // namespace cluscomp
