#include <nanobind/nanobind.h>

#include <algorithm>
#include <vector>

#include "arrays.h"

namespace cluscomp::bind {

using namespace nb::literals;

namespace {

// Integer ids of the rows of all segments, and the Python arrays that they point into.
struct IntegerIds {
  struct Column {
    const int64_t* values;  // null: start, start + 1, ...
    int64_t start;
  };
  std::vector<Offsets> owners;
  std::vector<Column> columns;
  std::vector<int64_t> firsts{0};  // position of the first row of each segment, then of the row behind the last

  void append(nb::handle column, int64_t rows) {
    if (nb::isinstance<nb::int_>(column)) {
      columns.push_back({nullptr, nb::cast<int64_t>(column)});
    } else {
      owners.push_back(nb::cast<Offsets>(column));
      require_equal(static_cast<int64_t>(owners.back().shape(0)), rows, "length of ids");
      columns.push_back({owners.back().data(), 0});
    }
    firsts.push_back(firsts.back() + rows);
  }
  int64_t at(int64_t position) const {
    if (position < 0) return -1;
    const auto part =
        columns.size() == 1 ? 0 : std::upper_bound(firsts.begin(), firsts.end(), position) - firsts.begin() - 1;
    const int64_t row = position - firsts[part];
    return columns[part].values ? columns[part].values[row] : columns[part].start + row;
  }
};

IntegerIds ids_of(const nb::list& columns, const Offsets& rows) {
  require_equal(static_cast<int64_t>(columns.size()), static_cast<int64_t>(rows.shape(0)), "columns of ids");
  IntegerIds out;
  for (size_t i = 0; i < columns.size(); ++i) out.append(columns[i], rows.data()[i]);
  return out;
}

}  // namespace

void bind_ids(nb::module_& m) {
  nb::class_<IntegerIds>(m, "IntegerIds", "Integer ids of the rows of one or more segments.")
      .def(
          "__init__",
          [](IntegerIds* self, nb::list columns, Offsets rows) { new (self) IntegerIds(ids_of(columns, rows)); },
          "columns"_a, "rows"_a,
          "columns: of each segment, its ids (rows,) int64, or the first of consecutive ones. rows: of each segment.")
      .def(
          "take",
          [](const IntegerIds& self, In<int64_t, Matrix2> positions) {
            const int64_t *first = positions.data(), *end = first + positions.size();
            if (first != end && *std::max_element(first, end) >= self.firsts.back())
              throw std::invalid_argument("a position is not below the number of rows");
            auto out = make_array<int64_t>({positions.shape(0), positions.shape(1)});
            std::transform(first, end, out.data(), [&](int64_t position) { return self.at(position); });
            return out;
          },
          "positions"_a,
          "Ids (nq, k) int64 of positions (nq, k) int64, which count through all segments; -1 for "
          "negative ones.");
}

}  // namespace cluscomp::bind
