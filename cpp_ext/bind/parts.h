// The Python object for parts, which other bindings take.
#pragma once

#include <array>
#include <vector>

#include "arrays.h"
#include "cluscomp/parts.h"

namespace cluscomp::bind {

// Parts, and the Python objects that hold them.
struct StoredParts {
  std::vector<nb::object> owners;
  std::vector<std::array<int64_t, 2>> whole;  // offsets of the parts without lists
  Parts parts;
};

}  // namespace cluscomp::bind
