// Search over interleaved 4-bit codes by byte shuffles, 64 rows and up to four queries at a time.
//
// Lists are visited in the order of visits.h, so that their codes are read from memory once for some queries.
// 7-bit tables rounded up bound every row; rows whose bound reaches the k-th best wait, and are then summed in float32,
// the k of the highest bounds first, after which few others still reach. For the candidates of a rerank the value of
// the sum of bytes is the score, and no row waits. A score is a function of row and query alone, and the order of hits
// is total: no result depends on how queries and lists were cut up.
//
// Source of the shuffles: Andre, Kermarrec, Le Scouarnec, "Cache locality is not enough", VLDB 2015.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "cluscomp/interleaved_codes.h"
#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"
#include "cluscomp/reservoir.h"
#include "four_bit_tables.h"
#include "visits.h"

namespace cluscomp {
namespace {

constexpr int64_t kPairRows = 2 * kGroupRows;
constexpr int64_t kPieceRows = 512 * kPairRows;  // a longer list is visited in pieces
constexpr int kTogether = FourBitTables::kTogether;
constexpr int64_t kMostQueries = 1024;  // of one pass over the lists; their tables take up to 15 KB at 192 codes
constexpr size_t kMostWaiting = 256;    // and 2 k: rows that wait for float32 at most

struct Query {
  const float* values;
  const float* bases;  // what lists add to scores, in the order of the probes; or null
  FourBitTables tables;
  Reservoir best;
  int64_t list = -1;  // that was entered last
  float base = 0;     // what it adds to scores
};

// A row whose bound reached the threshold, and its sum of bytes.
struct Waiting {
  int64_t row;
  uint16_t sum;
};

// Up to four queries at the rows of one range.
class Scan {
 public:
  Scan(const FourBitCodes& codes, const Parts& parts, const ScanCall& call)
      : codes_(codes),
        coarse_(parts.coarse()),
        call_(call),
        k_(static_cast<size_t>(call.k)),
        rest_(static_cast<size_t>(codes.bytes() * kGroupRows)) {}

  // ahead: the rows that will be read after these.
  void visit(const Range& range, const Visit* visits, int count, std::vector<Query>& queries, const Range& ahead) {
    part_ = range.part;
    stored_ = first_codes(range);
    const InvertedLists& lists = part_->lists;
    list_begin_ = lists.offsets[range.list];
    list_end_ = lists.offsets[range.list + 1];
    stop_ = stored_ + lists.rows() * codes_.bytes();
    for (int q = 0; q < count; ++q) enter(q, queries[visits[q].query], visits[q]);
    const uint8_t* after = first_codes(ahead) + ahead.begin * codes_.bytes();
    const int64_t end = range.end;
    for (int64_t row = range.begin; row < end; row += kPairRows) {
      const uint8_t* first = group(row);
      const uint8_t* second = row + kGroupRows < end ? group(row + kGroupRows) : first;
      const uint8_t* next = row + kPairRows < end ? first + kPairRows * codes_.bytes() : after;
      const int64_t n = std::min(end - row, kPairRows);
      uint64_t masks[kSharedQueries];
      kern_.reach_u4({first, second, next}, codes_.bytes(), bytes_, limits_, count, masks, sums_);
      const uint64_t valid = n == 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
      for (int q = 0; q < count; ++q)
        if (masks[q] & valid && !closed_[q]) keep(q, row, masks[q] & valid);
    }
    for (int q = 0; q < count; ++q) settle(q);
  }

 private:
  const Kernels& kern_ = kernels();
  const FourBitCodes& codes_;
  const float* coarse_;
  const ScanCall& call_;
  const Parts::Part* part_ = nullptr;
  const uint8_t *stored_ = nullptr, *stop_ = nullptr;  // codes of the part
  size_t k_;
  std::vector<uint8_t> rest_;  // the rows left over at the end of a list, spread to a group of 32
  std::vector<float> residual_, floats_;
  std::vector<Waiting> waiting_[kSharedQueries];
  Query* queries_[kSharedQueries];
  float base_[kSharedQueries];
  const uint8_t* bytes_[kSharedQueries];
  uint16_t limits_[kSharedQueries];
  bool closed_[kSharedQueries];
  uint16_t sums_[kSharedQueries * 64];
  int64_t list_begin_ = 0, list_end_ = 0;

  static const uint8_t* first_codes(const Range& range) {
    return static_cast<const PqCodes*>(range.part->codes)->row(0);
  }
  const uint8_t* codes_at(int64_t row) const { return stored_ + row * codes_.bytes(); }
  void enter(int q, Query& query, const Visit& visit) {
    queries_[q] = &query;
    if (query.list != visit.list) enter_list(query, visit);
    base_[q] = query.base;
    bytes_[q] = query.tables.bytes();
    set_limit(q);
  }
  void enter_list(Query& query, const Visit& visit) {
    query.list = visit.list;
    query.base = query.bases ? query.bases[visit.probe] : 0;
    if (coarse_) {
      const int64_t d = codes_.book.d();
      const float* centroid = coarse_ + visit.list * d;
      if (codes_.table_per_list()) {
        residual_.resize(static_cast<size_t>(d));
        for (int64_t j = 0; j < d; ++j) residual_[j] = query.values[j] - centroid[j];
        query.tables.fill(codes_, residual_.data(), floats_);
      } else if (!query.bases) {
        query.base = kern_.dot(query.values, centroid, RowType::f32, d);
      }
    }
  }
  void set_limit(int q) {
    const int64_t needed = queries_[q]->tables.needed(queries_[q]->best.threshold(), base_[q]);
    closed_[q] = needed > 65535;
    limits_[q] = static_cast<uint16_t>(std::min<int64_t>(needed, 65535));
  }

  // The codes of the 32 rows from `row` on as [bytes][32].
  const uint8_t* group(int64_t row) {
    const uint8_t* at = codes_at(row);
    const int64_t n = list_end_ - row;
    if (n >= kGroupRows) return at;
    for (int64_t j = 0; j < codes_.bytes(); ++j, at += n) {
      uint8_t* to = rest_.data() + j * kGroupRows;
      at + kGroupRows <= stop_ ? std::copy_n(at, kGroupRows, to) : std::copy_n(at, n, to);
    }
    return rest_.data();
  }

  void keep(int q, int64_t first, uint64_t mask) {
    Query& query = *queries_[q];
    const bool rough = query.tables.rough();
    const float before = query.best.threshold();
    for (; mask; mask &= mask - 1) {
      const int r = __builtin_ctzll(mask);
      const uint16_t sum = sums_[q * 64 + sum_slot(r)];
      const int64_t position = part_->position(first + r);
      if (call_.skips(*part_, position)) continue;
      if (rough)
        query.best.push(query.tables.value(sum, base_[q]), part_->first + position);
      else
        waiting_[q].push_back({first + r, sum});
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
                       [](const Waiting& a, const Waiting& b) { return a.sum > b.sum; });
    score(q, rows.data(), sure);
    queries_[q]->best.settle();
    set_limit(q);
    const Waiting* next = rows.data() + sure;
    const Waiting* const end = rows.data() + rows.size();
    while (next < end && !closed_[q]) {
      Waiting still[kTogether];
      size_t n = 0;
      for (; next < end && n < kTogether; ++next)
        if (next->sum >= limits_[q]) still[n++] = *next;
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
      query.tables.exact_scores(codes_, at, stride, base_[q], scores);
      for (int j = 0; j < n; ++j) query.best.push(scores[j], part_->first + part_->position(rows[i + j].row));
    }
    if (query.best.threshold() != before) set_limit(q);
  }
};

// All visits: those at the same rows go together.
void run_visits(Scan& scan, const Parts& parts, const std::vector<Visit>& visits, std::vector<Query>& queries) {
  const auto ranges_of = [&](size_t visit) {
    std::vector<Range> ranges;
    if (visit < visits.size())
      each_range(parts, visits[visit].list, kPieceRows, [&](const Range& range) { ranges.push_back(range); });
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
        scan.visit(ranges[r], visits.data() + begin, count, queries, end < last ? ranges[r] : next);
      }
    }
    ranges = std::move(following);
  }
}

// Share `share` of `shares` of what one query visits.
void run_share(Scan& scan, const Parts& parts, const std::vector<Visit>& visits, int64_t share, int64_t shares,
               std::vector<Query>& query) {
  int64_t number = 0;
  for (const Visit& visit : visits)
    each_range(parts, visit.list, kPieceRows, [&](const Range& range) {
      if (number++ % shares != share) return;
      check_interrupt();
      scan.visit(range, &visit, 1, query, range);
    });
}

}  // namespace

void scan_interleaved(const Parts& parts, const ScanCall& call, const HitArrays& out) {
  const FourBitCodes codes{.book = static_cast<const PqCodes&>(parts.form()).book(),
                           .metric = call.metric,
                           .residual = parts.coarse() != nullptr,
                           .rough = call.rough};
  const int64_t d = codes.book.d(), threads = num_threads(), nq = call.nq, k = call.k;
  const float* bases = codes.residual && codes.metric == Metric::ip ? call.bases : nullptr;
  const auto make = [&](int64_t first, int64_t last) {
    std::vector<Query> made;
    std::vector<float> floats;
    made.reserve(static_cast<size_t>(last - first));
    for (int64_t q = first; q < last; ++q) {
      const float* values = call.queries + q * d;
      made.push_back({values, bases ? bases + q * call.n_probes : nullptr, {}, Reservoir(k)});
      if (!codes.table_per_list()) made.back().tables.fill(codes, values, floats);
    }
    return made;
  };
  if (nq >= threads) {
    const int64_t grain = std::min(kMostQueries, (nq + threads - 1) / threads);
    parallel_for(nq, grain, [&](int64_t first, int64_t last) {
      std::vector<Query> block = make(first, last);
      Scan scan(codes, parts, call);
      run_visits(scan, parts, visits_of(call, first, last), block);
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
        Scan scan(codes, parts, call);
        run_share(scan, parts, visits, i, threads, mine);
        shares[i] = std::move(mine[0]);
      }
    });
    for (int64_t i = 1; i < threads; ++i) shares[0].best.merge(shares[i].best);
    shares[0].best.write(out.scores + q * k, out.positions + q * k);
  }
}

}  // namespace cluscomp
