// Stored rows of one or more segments, searched as one: positions count through all of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cluscomp/inverted_lists.h"

namespace cluscomp {

class Codes;

class Parts {
 public:
  struct Part {
    const Codes* codes;
    InvertedLists lists;
    int64_t number;
    int64_t first;  // position of its first row over all parts

    // The position of a row in this part. Throws std::out_of_range where the lists name one that the part does not
    // have: they may come from a file.
    int64_t position(int64_t row) const {
      const int64_t position = lists.position(row);
      if (position < 0 || position >= lists.rows()) throw_position(position);
      return position;
    }

   private:
    [[noreturn]] void throw_position(int64_t position) const;
  };

  // Where the row of a position stands, in parts whose rows stand by position.
  struct Place {
    const Codes* codes;
    int64_t row, position;
  };

  // All parts have the same form of codes, the same number of lists and the same centroids.
  void append(const Codes& codes, const InvertedLists& lists) {
    parts_.push_back({&codes, lists, count(), rows()});
    firsts_.push_back(rows() + lists.rows());
  }
  int64_t count() const { return static_cast<int64_t>(parts_.size()); }
  const Part& operator[](int64_t i) const { return parts_[i]; }
  const Codes& form() const { return *parts_[0].codes; }
  const float* coarse() const { return parts_[0].lists.coarse; }
  int64_t lists() const { return parts_[0].lists.count; }
  int64_t rows() const { return firsts_.back(); }
  Place at(int64_t position) const {
    if (parts_.size() == 1) return {parts_[0].codes, position, position};
    const auto part = std::upper_bound(firsts_.begin(), firsts_.end(), position) - firsts_.begin() - 1;
    return {parts_[part].codes, position - firsts_[part], position};
  }

 private:
  std::vector<Part> parts_;
  std::vector<int64_t> firsts_{0};  // position of the first row of each part, then of the row behind the last
};

}  // namespace cluscomp
