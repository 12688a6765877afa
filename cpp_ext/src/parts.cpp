#include "cluscomp/parts.h"

#include <stdexcept>
#include <string>

namespace cluscomp {

void Parts::Part::throw_position(int64_t position) const {
  throw std::out_of_range("a list holds position " + std::to_string(position) + ", but the segment has " +
                          std::to_string(lists.rows()) + " rows");
}

}  // namespace cluscomp
