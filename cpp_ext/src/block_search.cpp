#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include "best_hits.h"
#include "cluscomp/parallel.h"
#include "cluscomp/term_blocks.h"
#include "forward_rows.h"
#include "unseen_rows.h"

namespace cluscomp {
namespace {

constexpr size_t kStrip = 16;  // bounds that are compared at a time
constexpr size_t kAhead = 32;  // rows whose entries are on their way from memory while others are scored

// A bound and the place of its block, so that larger keys come first: bounds are not negative.
uint64_t key_of(float bound, size_t place) {
  return uint64_t{std::bit_cast<uint32_t>(bound)} << 32 | (0xffffffffU - static_cast<uint32_t>(place));
}
size_t place_of(uint64_t key) { return 0xffffffffU - static_cast<uint32_t>(key); }
float bound_of(uint64_t key) { return std::bit_cast<float>(static_cast<uint32_t>(key >> 32)); }

// What a thread keeps between searches.
struct Workspace {
  QueryWeights query;
  UnseenRows rows;
  std::vector<float> bounds;
  std::vector<uint64_t> keys;
  std::vector<int64_t> found;  // first entry of each term of the query in the summaries of each list
};

class Search {
 public:
  Search(const ForwardRows& x, const TermBlocks& blocks, const TermQueries& queries, const BlockSearch& settings,
         SkipBits skip, Workspace& work)
      : x_(x), b_(blocks), queries_(queries), settings_(settings), skip_(skip), work_(work), best_(settings.k) {}

  // Returns how many rows were scored.
  int64_t run(int64_t query, float* scores, int64_t* positions) {
    scored_ = 0;
    work_.query.set(x_, queries_, query);
    if (settings_.every) {
      for (int64_t row = 0; row < x_.n_rows; ++row) {
        if (row % 8 == 0 && skip_.bytes && skip_.bytes[row / 8] == 0xff)
          row += 7;
        else if (!skip_[row])
          score(row);
      }
    } else {
      work_.rows.start(x_.n_rows);
      choose(query);
      bound(query);
      open_best();
    }
    work_.query.clear();
    best_.write(scores, positions);
    return scored_;
  }

 private:
  struct List {
    int64_t list, first_block;
    float weight;
    size_t place;                          // of its first block among those of all lists
    int64_t first_entry = 0, entries = 0;  // its summaries; none for a list of one block
  };

  // The largest terms of a query, and where their bounds stand.
  void choose(int64_t query) {
    lists_.clear();
    for (int64_t t = queries_.offsets[query]; t < queries_.offsets[query + 1]; ++t)
      lists_.push_back({queries_.lists[t], 0, queries_.weights[t], 0});
    std::stable_sort(lists_.begin(), lists_.end(), [](const List& a, const List& b) { return a.weight > b.weight; });
    if (settings_.query_cut && static_cast<int64_t>(lists_.size()) > settings_.query_cut)
      lists_.resize(static_cast<size_t>(settings_.query_cut));
    count_ = 0;
    for (List& list : lists_) {
      list.first_block = b_.list_blocks[list.list];
      const int64_t stop = b_.list_blocks[list.list + 1];
      if (list.first_block < 0 || stop < list.first_block || stop > b_.n_blocks ||
          stop - list.first_block > kMostBlocks)
        damaged_blocks("the blocks of a term");
      list.place = count_;
      count_ += static_cast<size_t>(stop - list.first_block);
    }
    // A block of a damaged index writes at most kMostBlocks further; the last strip is compared as a whole.
    const size_t room = count_ + static_cast<size_t>(kMostBlocks) + kStrip;
    if (work_.bounds.size() < room) work_.bounds.resize(room);
    std::fill_n(work_.bounds.begin(), count_ + kStrip, 0.0f);
  }

  void bound(int64_t query) {
    for (size_t j = 0; j < lists_.size(); ++j) {
      List& list = lists_[j];
      const size_t stop = j + 1 < lists_.size() ? lists_[j + 1].place : count_;
      if (stop - list.place == 1)
        work_.bounds[list.place] = std::numeric_limits<float>::infinity();
      else if (stop > list.place)
        set_entries(list);
    }
    if (b_.entry_terms.wide)
      add_summaries(query, static_cast<const int32_t*>(b_.entry_terms.data));
    else
      add_summaries(query, static_cast<const uint16_t*>(b_.entry_terms.data));
    std::fill_n(work_.bounds.begin() + static_cast<int64_t>(count_), kStrip, -1.0f);
  }

  void set_entries(List& list) const {
    const int64_t first = b_.list_entries[list.list], stop = b_.list_entries[list.list + 1];
    if (first < 0 || stop < first || stop > b_.n_entries) damaged_blocks("the summaries of a term");
    list.first_entry = first;
    list.entries = stop - first;
  }

  // First where the entries of all terms of the query are in all lists, so that reads do not wait for each other.
  template <class Term>
  void add_summaries(int64_t query, const Term* terms) {
    const int64_t first = queries_.offsets[query], m = queries_.offsets[query + 1] - first;
    const int64_t* asked = queries_.lists + first;
    work_.found.resize(lists_.size() * static_cast<size_t>(m));
    int64_t* found = work_.found.data();
    for (const List& list : lists_) {
      const Term* from = terms + list.first_entry;
      find(from, list.entries, asked, m, found);
      for (int64_t t = 0; t < m && list.entries; ++t) {
        __builtin_prefetch(b_.entry_blocks + list.first_entry + found[t]);
        __builtin_prefetch(b_.entry_codes + list.first_entry + found[t]);
      }
      found += m;
    }
    found = work_.found.data();
    for (const List& list : lists_) {
      const Term* from = terms + list.first_entry;
      const uint16_t* blocks = b_.entry_blocks + list.first_entry;
      const uint8_t* codes = b_.entry_codes + list.first_entry;
      const float scale = b_.list_scales[list.list];
      float* bounds = work_.bounds.data() + list.place;
      for (int64_t t = 0; t < m; ++t) {
        const float weight = queries_.weights[first + t];
        for (int64_t i = found[t]; i < list.entries && static_cast<int64_t>(from[i]) == asked[t]; ++i)
          bounds[blocks[i]] += weight * (scale * static_cast<float>(codes[i]));
      }
      found += m;
    }
  }

  // found[t]: the first of n ascending numbers that is not below asked[t].
  template <class Term>
  static void find(const Term* from, int64_t n, const int64_t* asked, int64_t m, int64_t* found) {
    std::fill_n(found, m, 0);
    for (; n > 1; n -= n / 2)
      for (int64_t t = 0; t < m; ++t)
        found[t] += static_cast<int64_t>(from[found[t] + n / 2 - 1]) < asked[t] ? n / 2 : 0;
    for (int64_t t = 0; t < m && n; ++t) found[t] += static_cast<int64_t>(from[found[t]]) < asked[t];
  }

  // Blocks from the best bound down: the first few, which settle what a block must promise, then those that promise it.
  void open_best() {
    const size_t few = 16 + static_cast<size_t>(settings_.k) / 4;
    collect_best(few);
    if (!open_keys() || count_ <= few) return;
    const uint64_t last = work_.keys.back();
    const float least = best_.full() ? settings_.heap_factor * best_.least() : 0.0f;
    work_.keys.clear();
    for_each_from(least, [&](float bound, size_t place) {
      const uint64_t key = key_of(bound, place);
      if (key < last) work_.keys.push_back(key);
    });
    std::sort(work_.keys.begin(), work_.keys.end(), std::greater<>());
    open_keys();
  }

  // Calls use(bound, place) for all bounds that are at least `least`.
  template <class Use>
  void for_each_from(const float& least, const Use& use) {
    const float* bounds = work_.bounds.data();
    for (size_t at = 0; at < count_; at += kStrip) {
      int any = 0;
      for (size_t i = 0; i < kStrip; ++i) any |= bounds[at + i] >= least;
      if (!any) continue;
      for (size_t i = at; i < std::min(count_, at + kStrip); ++i)
        if (bounds[i] >= least) use(bounds[i], i);
    }
  }

  void collect_best(size_t few) {
    auto& keys = work_.keys;
    keys.clear();
    float least = 0;  // rises once there are enough
    for_each_from(least, [&](float bound, size_t place) {
      const uint64_t key = key_of(bound, place);
      if (keys.size() < few) {
        keys.push_back(key);
        if (keys.size() == few) std::make_heap(keys.begin(), keys.end(), std::greater<>());
      } else if (key > keys.front()) {
        std::pop_heap(keys.begin(), keys.end(), std::greater<>());
        keys.back() = key;
        std::push_heap(keys.begin(), keys.end(), std::greater<>());
      }
      if (keys.size() == few) least = bound_of(keys.front());
    });
    std::sort(keys.begin(), keys.end(), std::greater<>());
  }

  // Opens blocks until one is left out; whether none was. Rows are read some blocks before they are scored.
  bool open_keys() {
    const auto& keys = work_.keys;
    work_.rows.clear();
    for (size_t i = 0, read = 0; i < keys.size(); ++i) {
      if (best_.full() && bound_of(keys[i]) < settings_.heap_factor * best_.least()) return false;
      while (read < keys.size() && (read <= i || work_.rows.waiting() < kAhead))
        work_.rows.read(x_, b_, block_of(keys[read++]), skip_);
      for (const int32_t row : work_.rows.next()) score(row);
    }
    return true;
  }

  int64_t block_of(uint64_t key) const {
    const size_t place = place_of(key);
    size_t j = lists_.size() - 1;
    while (lists_[j].place > place) --j;
    return lists_[j].first_block + static_cast<int64_t>(place - lists_[j].place);
  }

  void score(int64_t row) {
    ++scored_;
    const float sum = score_entries(x_, entries_of(x_, row), work_.query.data());
    if (sum > 0 && (!best_.full() || sum >= best_.least())) best_.offer(sum, row);
  }

  const ForwardRows& x_;
  const TermBlocks& b_;
  const TermQueries& queries_;
  const BlockSearch& settings_;
  SkipBits skip_;
  Workspace& work_;
  BestHits best_;
  std::vector<List> lists_;
  size_t count_ = 0;
  int64_t scored_ = 0;
};

}  // namespace

void search_blocks(const ForwardRows& x, const TermBlocks& blocks, const TermQueries& queries,
                   const BlockSearch& settings, SkipBits skip, float* scores, int64_t* positions, int64_t* scored) {
  const int64_t grain = std::max<int64_t>(1, std::min<int64_t>(16, queries.n / 64));
  parallel_for(queries.n, grain, [&](int64_t begin, int64_t end) {
    static thread_local Workspace work;
    Search search(x, blocks, queries, settings, skip, work);
    for (int64_t i = begin; i < end; ++i)
      scored[i] = search.run(i, scores + i * settings.k, positions + i * settings.k);
  });
}

}  // namespace cluscomp
