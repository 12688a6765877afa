// The Python object for stored codes, which other bindings take.
#pragma once

#include <memory>

#include "arrays.h"
#include "cluscomp/codes.h"

namespace cluscomp::bind {

// Codes, and the Python arrays that they point into.
struct StoredCodes {
  std::shared_ptr<const Codes> codes;
  std::shared_ptr<const void> arrays;

  const Codes& operator*() const { return *codes; }
  const Codes* operator->() const { return codes.get(); }
};

}  // namespace cluscomp::bind
