#include "cluscomp/hash.h"

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

void bind_hash(nb::module_& m) {
  m.def(
      "hash_texts",
      [](In<uint8_t, Vector1> blob, Offsets offsets) {
        const int64_t n = static_cast<int64_t>(offsets.shape(0)) - 1, *first = offsets.data();
        if (n < 0) throw std::invalid_argument("offsets is empty");
        if (first[0] < 0 || first[n] > static_cast<int64_t>(blob.shape(0)) || !std::is_sorted(first, first + n + 1))
          throw std::invalid_argument("offsets must rise within the blob");
        auto out = make_array<uint64_t>({static_cast<size_t>(n)});
        nb::gil_scoped_release release;
        hash_texts(blob.data(), first, n, out.data());
        return out;
      },
      "blob"_a, "offsets"_a,
      "XXH64 (n,) uint64 of texts: text i is blob[offsets[i]:offsets[i + 1]]. The same on every machine.");
  m.def(
      "hash_integers",
      [](In<int64_t, Vector1> values) {
        auto out = make_array<uint64_t>({values.shape(0)});
        nb::gil_scoped_release release;
        hash_integers(values.data(), static_cast<int64_t>(values.shape(0)), out.data());
        return out;
      },
      "values"_a, "XXH64 (n,) uint64 of the 8 bytes of each number, the lowest first.");
}

}  // namespace cluscomp::bind
