// Search over 4-bit codes whose groups of 32 rows do not end with a list: for lists of few rows, where a group a list
// would be mostly empty.
//
// A query looks at each group that holds a row of its lists once, two groups at a time, and passes over the rows of
// other lists in it. What lists add to scores differs within a group: rows are let through by the largest, and the
// score of a row has that of its own list. As in scan_interleaved.cpp, 7-bit tables bound rows or are their scores, and
// no result depends on how queries and lists were cut up.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "cluscomp/interleaved_codes.h"
#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"
#include "cluscomp/reservoir.h"
#include "four_bit_tables.h"
#include "visits.h"

namespace cluscomp {
namespace {

constexpr int kTogether = FourBitTables::kTogether;

// Rows [begin, end) of one list in one part, and what the list adds to scores.
struct Run {
  const Parts::Part* part;
  int64_t begin, end;
  float base;
};

// A group of rows, of which those of the runs [first, last) are wanted.
struct Group {
  const Parts::Part* part;
  int64_t row;  // its first
  size_t first, last;
};

// One query at its runs.
class Scan {
 public:
  Scan(const FourBitCodes& codes, const ScanCall& call)
      : codes_(codes), call_(call), rest_(static_cast<size_t>(2 * codes.bytes() * kGroupRows)) {}

  // runs: in the order of the codes.
  void visit(const FourBitTables& tables, const std::vector<Run>& runs, Reservoir& best) {
    tables_ = &tables;
    runs_ = &runs;
    best_ = &best;
    waiting_ = 0;
    list_groups();
    for (size_t g = 0; g < groups_.size(); g += 2) {
      const size_t second = std::min(g + 1, groups_.size() - 1), next = std::min(g + 2, groups_.size() - 1);
      look_at(groups_[g], groups_[second], groups_[next]);
    }
    score_waiting();
  }

 private:
  const Kernels& kern_ = kernels();
  const FourBitCodes& codes_;
  const ScanCall& call_;
  const FourBitTables* tables_ = nullptr;
  const std::vector<Run>* runs_ = nullptr;
  Reservoir* best_ = nullptr;
  std::vector<Group> groups_;
  std::vector<uint8_t> rest_;  // two last groups of a part that have fewer rows, spread to 32
  // Rows that wait for their sums in float32.
  int waiting_ = 0;
  const uint8_t* at_[kTogether];
  int64_t stride_[kTogether], position_[kTogether];
  float base_[kTogether];

  static const uint8_t* codes_of(const Parts::Part& part) { return static_cast<const PqCodes*>(part.codes)->row(0); }
  static int64_t rows_in(const Group& group) { return std::min(kGroupRows, group.part->lists.rows() - group.row); }
  const uint8_t* stored(const Group& group) const { return codes_of(*group.part) + group.row * codes_.bytes(); }

  void list_groups() {
    groups_.clear();
    for (size_t r = 0; r < runs_->size(); ++r) {
      const Run& run = (*runs_)[r];
      int64_t row = run.begin / kGroupRows * kGroupRows;
      if (!groups_.empty() && groups_.back().part == run.part && groups_.back().row == row) {
        groups_.back().last = r + 1;
        row += kGroupRows;
      }
      for (; row < run.end; row += kGroupRows) groups_.push_back({run.part, row, r, r + 1});
    }
  }
  // The codes of a group as [bytes][32].
  const uint8_t* spread(const Group& group, uint8_t* rest) const {
    const uint8_t* at = stored(group);
    const int64_t n = rows_in(group);
    if (n == kGroupRows) return at;
    for (int64_t j = 0; j < codes_.bytes(); ++j) std::copy_n(at + j * n, n, rest + j * kGroupRows);
    return rest;
  }
  void look_at(const Group& first, const Group& second, const Group& next) {
    float highest = -std::numeric_limits<float>::infinity(), lowest = -highest;
    for (size_t r = first.first; r < second.last; ++r) {
      highest = std::max(highest, (*runs_)[r].base);
      lowest = std::min(lowest, (*runs_)[r].base);
    }
    const bool bounded = std::isfinite(highest) && std::isfinite(lowest);  // products of huge values overflow
    const int64_t needed = bounded ? tables_->needed(best_->threshold(), highest, lowest) : 0;
    if (needed > 65535) return;
    const uint8_t* table = tables_->bytes();
    const auto limit = static_cast<uint16_t>(needed);
    uint64_t mask;
    uint16_t sums[64];
    const CodePair pair{spread(first, rest_.data()), spread(second, rest_.data() + rest_.size() / 2), stored(next)};
    kern_.reach_u4(pair, codes_.bytes(), &table, &limit, 1, &mask, sums);
    if (mask & 0xffffffff) keep(first, static_cast<uint32_t>(mask), sums);
    if (mask >> 32 && &second != &first) keep(second, static_cast<uint32_t>(mask >> 32), sums + kGroupRows);
  }
  void keep(const Group& group, uint32_t mask, const uint16_t* sums) {
    for (size_t r = group.first; r < group.last; ++r) {
      const Run& run = (*runs_)[r];
      const int64_t begin = std::max(run.begin, group.row) - group.row;
      const int64_t end = std::min(run.end - group.row, kGroupRows);
      const uint64_t wanted = ((uint64_t{1} << end) - 1) & ~((uint64_t{1} << begin) - 1);
      for (uint64_t rows = mask & wanted; rows; rows &= rows - 1) keep(run, group, __builtin_ctzll(rows), sums);
    }
  }
  void keep(const Run& run, const Group& group, int row, const uint16_t* sums) {
    const int64_t position = run.part->position(group.row + row);
    if (call_.skips(*run.part, position)) return;
    if (tables_->rough()) return best_->push(tables_->value(sums[sum_slot(row)], run.base), run.part->first + position);
    at_[waiting_] = stored(group) + row;
    stride_[waiting_] = rows_in(group);
    position_[waiting_] = run.part->first + position;
    base_[waiting_] = run.base;
    if (++waiting_ == kTogether) score_waiting();
  }
  void score_waiting() {
    if (!waiting_) return;
    for (int i = waiting_; i < kTogether; ++i) {  // where rows are lacking, the first one again
      at_[i] = at_[0];
      stride_[i] = stride_[0];
      base_[i] = base_[0];
    }
    float scores[kTogether];
    tables_->exact_scores(codes_, at_, stride_, base_, scores);
    for (int i = 0; i < waiting_; ++i) best_->push(scores[i], position_[i]);
    waiting_ = 0;
  }
};

// What one query visits. The runs of its first list come alone, since their threshold lets most other rows be passed
// over; all others in the order of the codes.
class Route {
 public:
  Route(const FourBitCodes& codes, const Parts& parts, const ScanCall& call)
      : codes_(codes), parts_(parts), call_(call) {}

  std::vector<Run> first, others;

  void follow(int64_t q) {
    first.clear();
    others.clear();
    lists_.clear();
    for (int64_t p = 0; p < call_.n_probes; ++p) {
      const int64_t list = call_.probes[q * call_.n_probes + p];
      if (list < 0) continue;
      if (lists_.empty() && first.empty())
        add(list, base(q, p, list), first);
      else
        lists_.push_back({list, base(q, p, list)});
    }
    const auto earlier = [](const Listed& a, const Listed& b) { return a.list < b.list; };
    if (!std::is_sorted(lists_.begin(), lists_.end(), earlier)) std::sort(lists_.begin(), lists_.end(), earlier);
    for (int64_t i = 0; i < parts_.count(); ++i)
      for (const Listed& listed : lists_) add(parts_[i], listed.list, listed.base, others);
  }

 private:
  struct Listed {
    int64_t list;
    float base;
  };
  const FourBitCodes& codes_;
  const Parts& parts_;
  const ScanCall& call_;
  std::vector<Listed> lists_;

  float base(int64_t q, int64_t probe, int64_t list) const {
    const float* coarse = parts_.coarse();
    if (!coarse) return 0;
    if (call_.bases) return call_.bases[q * call_.n_probes + probe];
    const int64_t d = codes_.book.d();
    return kernels().dot(call_.queries + q * d, coarse + list * d, RowType::f32, d);
  }
  void add(int64_t list, float base, std::vector<Run>& runs) const {
    for (int64_t i = 0; i < parts_.count(); ++i) add(parts_[i], list, base, runs);
  }
  static void add(const Parts::Part& part, int64_t list, float base, std::vector<Run>& runs) {
    const int64_t begin = part.lists.offsets[list], end = part.lists.offsets[list + 1];
    if (begin < end) runs.push_back({&part, begin, end, base});
  }
};

}  // namespace

void scan_across_lists(const Parts& parts, const ScanCall& call, const HitArrays& out) {
  const FourBitCodes codes{.book = static_cast<const PqCodes&>(parts.form()).book(),
                           .metric = call.metric,
                           .residual = parts.coarse() != nullptr,
                           .rough = call.rough};
  if (codes.table_per_list()) throw std::invalid_argument("residual codes in l2 have a table a list");
  const int64_t d = codes.book.d(), k = call.k;
  parallel_for(call.nq, 1, [&](int64_t begin, int64_t end) {
    Scan scan(codes, call);
    Route route(codes, parts, call);
    FourBitTables tables;
    std::vector<float> floats;
    for (int64_t q = begin; q < end; ++q) {
      check_interrupt();
      tables.fill(codes, call.queries + q * d, floats);
      route.follow(q);
      Reservoir best(k);
      scan.visit(tables, route.first, best);
      best.settle();
      scan.visit(tables, route.others, best);
      best.write(out.scores + q * k, out.positions + q * k);
    }
  });
}

}  // namespace cluscomp
