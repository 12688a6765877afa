// Search over interleaved codes by byte shuffles, 64 rows and up to four queries at a time, for every form of codes
// that bounds a row by sums of table entries.
//
// Lists are visited in the order of visits.h, so that their codes are read from memory once for some queries.
// Tables rounded up bound every row; rows whose bound reaches the k-th best wait, and are then summed in float32, the k
// of the highest bounds first, after which few others still reach. For the candidates of a rerank the value of the
// rounded sums is the score, and no row waits. A score is a function of row and query alone, and the order of hits is
// total: no result depends on how queries and lists were cut up.
//
// A Form says how codes are read:
//   row_bytes(), first_row(codes)            bytes of a row, and where those of a part begin
//   Tables, make(query, bases)               what is looked up for one query; bases: of its probes, or null
//   enter(tables, visit, centroid)           the list of the rows that follow; its centroid, or null
//   Bound, reach(...)                        bounds of 64 rows in the order of sum_slot, and which reach their limits
//   limit(tables, threshold, least)          the least bound that may score the threshold; false where none can
//   rough(tables), value(tables, bound)      whether bounds stand for scores, and the score
//   kTogether, exact(tables, at, stride, out)  scores of so many rows, whose bytes are stride[i] apart
//
// Source of the shuffles: Andre, Kermarrec, Le Scouarnec, "Cache locality is not enough", VLDB 2015.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "cluscomp/codes.h"
#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"
#include "cluscomp/reservoir.h"
#include "visits.h"

namespace cluscomp {

template <class Form>
class InterleavedScan {
  using Tables = typename Form::Tables;
  using Bound = typename Form::Bound;
  static constexpr int kTogether = Form::kTogether;

 public:
  static void run(const Form& form, const Parts& parts, const ScanCall& call, const HitArrays& out) {
    const int64_t threads = num_threads(), nq = call.nq, k = call.k;
    const auto make = [&](int64_t first, int64_t last) {
      std::vector<Query> made;
      made.reserve(static_cast<size_t>(last - first));
      for (int64_t q = first; q < last; ++q) {
        const float* bases = call.bases ? call.bases + q * call.n_probes : nullptr;
        made.push_back({form.make(call.queries + q * parts.form().dim(), bases), Reservoir(k)});
      }
      return made;
    };
    if (nq >= threads) {
      const int64_t grain = std::min(kMostQueries, (nq + threads - 1) / threads);
      parallel_for(nq, grain, [&](int64_t first, int64_t last) {
        std::vector<Query> block = make(first, last);
        InterleavedScan scan(form, parts, call);
        scan.run_visits(visits_of(call, first, last), block);
        for (int64_t q = first; q < last; ++q) block[q - first].best.write(out.scores + q * k, out.positions + q * k);
      });
      return;
    }
    for (int64_t q = 0; q < nq; ++q) {  // few queries: threads share the lists of each
      const auto visits = visits_of(call, q, q + 1);
      std::vector<Query> shares = make(q, q + 1);
      for (int64_t i = 1; i < threads; ++i) shares.push_back(shares[0]);
      parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          std::vector<Query> mine{std::move(shares[i])};
          InterleavedScan(form, parts, call).run_share(visits, i, threads, mine);
          shares[i] = std::move(mine[0]);
        }
      });
      for (int64_t i = 1; i < threads; ++i) shares[0].best.merge(shares[i].best);
      shares[0].best.write(out.scores + q * k, out.positions + q * k);
    }
  }

 private:
  static constexpr int64_t kPairRows = 2 * kGroupRows;
  static constexpr int64_t kPieceRows = 512 * kPairRows;  // a longer list is visited in pieces
  static constexpr int64_t kMostQueries =
      1024;                                    // of one pass over the lists; their tables take up to 15 KB at 192 codes
  static constexpr size_t kMostWaiting = 256;  // and 2 k: rows that wait for float32 at most

  struct Query {
    Tables tables;
    Reservoir best;
    int64_t list = -1;  // that was entered last
  };
  // A row whose bound reached the threshold.
  struct Waiting {
    int64_t row;
    Bound bound;
  };

  InterleavedScan(const Form& form, const Parts& parts, const ScanCall& call)
      : form_(form),
        parts_(parts),
        coarse_(parts.coarse()),
        call_(call),
        k_(static_cast<size_t>(call.k)),
        rest_(static_cast<size_t>(form.row_bytes() * kGroupRows)) {}

  // All visits: those at the same rows go together.
  void run_visits(const std::vector<Visit>& visits, std::vector<Query>& queries) {
    const auto ranges_of = [&](size_t visit) {
      std::vector<Range> ranges;
      if (visit < visits.size())
        each_range(parts_, visits[visit].list, kPieceRows, [&](const Range& range) { ranges.push_back(range); });
      return ranges;
    };
    std::vector<Range> ranges = ranges_of(0);
    for (size_t first = 0, last; first < visits.size(); first = last) {
      last = end_of_visits(visits, first);
      std::vector<Range> following = ranges_of(last);
      for (size_t r = 0; r < ranges.size(); ++r) {
        const Range& next = r + 1 < ranges.size() ? ranges[r + 1] : following.empty() ? ranges[r] : following[0];
        for (size_t begin = first, end; begin < last; begin = end) {
          end = std::min(last, begin + kSharedQueries);
          check_interrupt();  // a thread's share of the queries may take seconds
          const auto count = static_cast<int>(end - begin);
          visit(ranges[r], visits.data() + begin, count, queries, end < last ? ranges[r] : next);
        }
      }
      ranges = std::move(following);
    }
  }
  // Share `share` of `shares` of what one query visits.
  void run_share(const std::vector<Visit>& visits, int64_t share, int64_t shares, std::vector<Query>& query) {
    int64_t number = 0;
    for (const Visit& one : visits)
      each_range(parts_, one.list, kPieceRows, [&](const Range& range) {
        if (number++ % shares != share) return;
        check_interrupt();
        visit(range, &one, 1, query, range);
      });
  }

  // Up to four queries at the rows of one range. ahead: the rows that will be read after these.
  void visit(const Range& range, const Visit* visits, int count, std::vector<Query>& queries, const Range& ahead) {
    part_ = range.part;
    stored_ = Form::first_row(*range.part->codes);
    const InvertedLists& lists = part_->lists;
    list_begin_ = lists.offsets[range.list];
    list_end_ = lists.offsets[range.list + 1];
    stop_ = stored_ + lists.rows() * form_.row_bytes();
    for (int q = 0; q < count; ++q) enter(q, queries[visits[q].query], visits[q]);
    const uint8_t* after = Form::first_row(*ahead.part->codes) + ahead.begin * form_.row_bytes();
    const int64_t end = range.end;
    for (int64_t row = range.begin; row < end; row += kPairRows) {
      const uint8_t* first = group(row);
      const uint8_t* second = row + kGroupRows < end ? group(row + kGroupRows) : first;
      const uint8_t* next = row + kPairRows < end ? first + kPairRows * form_.row_bytes() : after;
      const int64_t n = std::min(end - row, kPairRows);
      uint64_t masks[kSharedQueries];
      form_.reach({first, second, next}, tables_, limits_, count, masks, bounds_);
      const uint64_t valid = n == 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
      for (int q = 0; q < count; ++q)
        if (masks[q] & valid && !closed_[q]) keep(q, row, masks[q] & valid);
    }
    for (int q = 0; q < count; ++q) settle(q);
  }

  const Form& form_;
  const Parts& parts_;
  const float* coarse_;
  const ScanCall& call_;
  const Parts::Part* part_ = nullptr;
  const uint8_t *stored_ = nullptr, *stop_ = nullptr;  // codes of the part
  size_t k_;
  std::vector<uint8_t> rest_;  // the rows left over at the end of a list, spread to a group of 32
  std::vector<Waiting> waiting_[kSharedQueries];
  Query* queries_[kSharedQueries];
  const Tables* tables_[kSharedQueries];
  Bound limits_[kSharedQueries];
  bool closed_[kSharedQueries];
  Bound bounds_[kSharedQueries * 64] = {};
  int64_t list_begin_ = 0, list_end_ = 0;

  const uint8_t* codes_at(int64_t row) const { return stored_ + row * form_.row_bytes(); }
  void enter(int q, Query& query, const Visit& visit) {
    queries_[q] = &query;
    tables_[q] = &query.tables;
    if (query.list != visit.list) {
      query.list = visit.list;
      form_.enter(query.tables, visit, coarse_ ? coarse_ + visit.list * parts_.form().dim() : nullptr);
    }
    set_limit(q);
  }
  void set_limit(int q) { closed_[q] = !form_.limit(*tables_[q], queries_[q]->best.threshold(), limits_[q]); }

  // The codes of the 32 rows from `row` on as [bytes][32].
  const uint8_t* group(int64_t row) {
    const uint8_t* at = codes_at(row);
    const int64_t n = list_end_ - row;
    if (n >= kGroupRows) return at;
    for (int64_t j = 0; j < form_.row_bytes(); ++j, at += n) {
      uint8_t* to = rest_.data() + j * kGroupRows;
      at + kGroupRows <= stop_ ? std::copy_n(at, kGroupRows, to) : std::copy_n(at, n, to);
    }
    return rest_.data();
  }

  void keep(int q, int64_t first, uint64_t mask) {
    Query& query = *queries_[q];
    const bool rough = form_.rough(query.tables);
    const float before = query.best.threshold();
    for (; mask; mask &= mask - 1) {
      const int r = __builtin_ctzll(mask);
      const Bound bound = bounds_[q * 64 + sum_slot(r)];
      const int64_t position = part_->position(first + r);
      if (call_.skips(*part_, position)) continue;
      if (rough)
        query.best.push(form_.value(query.tables, bound), part_->first + position);
      else
        waiting_[q].push_back({first + r, bound});
    }
    if (waiting_[q].size() >= 2 * k_ + kMostWaiting) settle(q);
    if (rough && query.best.threshold() != before) set_limit(q);
  }
  // Sums the rows that wait in float32: the k of the highest bounds first, after which few others still reach.
  void settle(int q) {
    std::vector<Waiting>& rows = waiting_[q];
    if (rows.empty()) return;
    const size_t sure = std::min(k_, rows.size());
    if (sure < rows.size())
      std::nth_element(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(sure), rows.end(),
                       [](const Waiting& a, const Waiting& b) { return a.bound > b.bound; });
    score(q, rows.data(), sure);
    queries_[q]->best.settle();
    set_limit(q);
    const Waiting* next = rows.data() + sure;
    const Waiting* const end = rows.data() + rows.size();
    while (next < end && !closed_[q]) {
      Waiting still[kTogether];
      size_t n = 0;
      for (; next < end && n < kTogether; ++next)
        if (next->bound >= limits_[q]) still[n++] = *next;
      if (n) score(q, still, n);
    }
    rows.clear();
  }
  void score(int q, const Waiting* rows, size_t count) {
    Query& query = *queries_[q];
    const float before = query.best.threshold();
    for (size_t i = 0; i < count; i += kTogether) {
      const int n = static_cast<int>(std::min<size_t>(kTogether, count - i));
      const uint8_t* at[kTogether];
      int64_t stride[kTogether];
      float scores[kTogether];
      for (int j = 0; j < kTogether; ++j) {  // where rows are lacking, the last one again
        const int64_t row = rows[i + static_cast<size_t>(std::min(j, n - 1))].row;
        const int64_t group_row = row - (row - list_begin_) % kGroupRows;
        stride[j] = std::min(kGroupRows, list_end_ - group_row);
        at[j] = codes_at(group_row) + (row - group_row);
      }
      form_.exact(query.tables, at, stride, scores);
      for (int j = 0; j < n; ++j) query.best.push(scores[j], part_->first + part_->position(rows[i + j].row));
    }
    if (query.best.threshold() != before) set_limit(q);
  }
};

}  // namespace cluscomp
