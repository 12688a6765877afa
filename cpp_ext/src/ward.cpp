#include "cluscomp/ward.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cluscomp/parallel.h"
#include "ward_distances.h"
#include "ward_gram.h"

namespace cluscomp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Merge {
  int32_t a, b;
  double square;
};

// Murtagh's nearest-neighbour chain. It destroys the distances. `merges` come out sorted by height.
class Chain {
 public:
  Chain(const WardKernels& kern, SquareDistances& distances)
      : kern_(kern), distances_(distances), sizes_(static_cast<size_t>(distances.ld), 1.0) {}

  // False when a decision hung on a difference below the tolerance.
  bool run(std::vector<Merge>& merges) {
    merges.clear();
    for (int64_t done = 1; done < distances_.n; ++done) {
      check_interrupt();
      while (!extend()) {}
      const Link last = links_.back(), before = links_[links_.size() - 2];
      if (last.margin < distances_.tolerance || before.margin < distances_.tolerance) return false;
      links_.resize(links_.size() - 2);
      merges.push_back(merge(std::min(last.at, before.at), std::max(last.at, before.at), last.square));
      look_again();
    }
    std::stable_sort(merges.begin(), merges.end(), [](const Merge& p, const Merge& q) { return p.square < q.square; });
    for (size_t i = 1; i < merges.size(); ++i)
      if (merges[i].square - merges[i - 1].square < distances_.tolerance) return false;
    return true;
  }

 private:
  struct Link {
    int64_t at, nearest;
    double square, margin;  // distance to the nearest cluster, and how much farther the next one is
  };

  const WardKernels& kern_;
  SquareDistances& distances_;
  std::vector<double> sizes_;  // 0: merged into another cluster
  std::vector<Link> links_;
  int64_t lowest_ = 0;  // no cluster before it is left

  // Adds the nearest cluster of the last one to the chain; true when the last two are nearest to each other.
  bool extend() {
    if (links_.empty()) {
      while (sizes_[lowest_] == 0) ++lowest_;
      links_.push_back(look(lowest_, -1));
    }
    const Link& last = links_.back();
    if (links_.size() > 1 && last.nearest == links_[links_.size() - 2].at) return true;
    links_.push_back(look(last.nearest, last.at));
    return links_.back().nearest == links_[links_.size() - 2].at;
  }

  // After a merge the last cluster that is left in the chain has lost its nearest one.
  void look_again() {
    if (links_.empty()) return;
    const int64_t before = links_.size() > 1 ? links_[links_.size() - 2].at : -1;
    links_.back() = look(links_.back().at, before);
  }

  // On a tie the cluster before wins, so that the chain ends; then the lowest.
  Link look(int64_t at, int64_t before) {
    Link link{at, 0, 0, 0};
    double second;
    kern_.nearest(distances_.row(at), distances_.ld, &link.square, &link.nearest, &second);
    link.margin = second - link.square;
    if (before >= 0 && distances_.row(at)[before] == link.square) link.nearest = before;
    return link;
  }

  Merge merge(int64_t a, int64_t b, double square) {
    double* row = distances_.row(b);
    kern_.merge(row, distances_.row(a), sizes_.data(), distances_.ld, sizes_[b], sizes_[a], square);
    sizes_[b] += sizes_[a];
    sizes_[a] = 0;
    row[a] = row[b] = kInfinity;
    for (int64_t i = 0; i < distances_.n; ++i) {
      if (sizes_[i] == 0) continue;
      distances_.row(i)[b] = row[i];
      distances_.row(i)[a] = kInfinity;
    }
    return {static_cast<int32_t>(a), static_cast<int32_t>(b), square};
  }
};

// A long run does not keep its memory, also where it is interrupted.
struct Forget {
  bool wanted;
  GramWard& gram;
  SquareDistances& distances;

  ~Forget() {
    if (!wanted) return;
    gram = {};
    distances = {};
  }
};

// Whether all distances were taken in float64.
bool merge_run(const RowsView& x, int64_t begin, int64_t end, WardInput input, int32_t* merges, double* heights) {
  thread_local GramWard gram;
  thread_local SquareDistances distances;
  const bool large = end - begin > (1 << 10);
  const Forget at_the_end{large, gram, distances};
  if (input == WardInput::euclidean && gram.run(x, begin, end, merges, heights)) {
    if (large) gram = {};
    return false;
  }
  WardDistances source(x, begin, end, input);
  if (input == WardInput::cosine_square && gram.run(source.rows(), 0, end - begin, merges, heights)) {
    if (large) gram = {};
    return false;
  }
  if (large) gram = {};
  std::vector<Merge> found;
  bool certain = false;
  if (input == WardInput::cosine_condensed) {
    source.fast(distances);
    certain = Chain(kernels().ward, distances).run(found);
  }
  if (!certain) {
    source.exact(distances);
    Chain(kernels().ward, distances).run(found);
  }
  for (const Merge& merge : found) {
    *merges++ = merge.a;
    *merges++ = merge.b;
    *heights++ = std::sqrt(merge.square);
  }
  return !certain;
}

int32_t find_root(int32_t* parent, int32_t at) {
  while (parent[at] != at) at = parent[at] = parent[parent[at]];
  return at;
}

int64_t cut_run(const int32_t* merges, const double* heights, int64_t n, int64_t count, int32_t* labels) {
  int64_t wanted = std::clamp<int64_t>(n - count, 0, n - 1);
  while (wanted > 0 && wanted < n - 1 && heights[wanted] == heights[wanted - 1]) ++wanted;
  std::vector<int32_t> parent(static_cast<size_t>(n)), name(static_cast<size_t>(n), -1);
  std::iota(parent.begin(), parent.end(), 0);
  for (int64_t i = 0; i < wanted; ++i)
    parent[find_root(parent.data(), merges[2 * i])] = find_root(parent.data(), merges[2 * i + 1]);
  int32_t next = 0;
  for (int64_t i = 0; i < n; ++i) {
    int32_t& own = name[find_root(parent.data(), static_cast<int32_t>(i))];
    if (own < 0) own = next++;
    labels[i] = own;
  }
  return next;
}

}  // namespace

int64_t ward_merges(const RowsView& x, const Runs& runs, WardInput input, int32_t* merges, double* heights) {
  std::atomic<int64_t> repeated{0};
  parallel_for(runs.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = runs.starts[i];
      if (first < runs.stops[i])
        repeated += merge_run(x, first, runs.stops[i], input, merges + 2 * first, heights + first);
    }
  });
  return repeated;
}

void cut_merges(const Runs& runs, const int32_t* merges, const double* heights, const int64_t* counts, int32_t* labels,
                int64_t* found) {
  parallel_for(runs.count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = runs.starts[i], n = runs.stops[i] - first;
      found[i] = n ? cut_run(merges + 2 * first, heights + first, n, counts[i], labels + first) : 0;
    }
  });
}

void linkage_matrix(const int32_t* merges, const double* heights, int64_t n, double* linkage) {
  std::vector<int32_t> parent(static_cast<size_t>(2 * n));
  std::vector<double> size(static_cast<size_t>(2 * n), 1.0);
  std::iota(parent.begin(), parent.end(), 0);
  for (int64_t i = 0; i + 1 < n; ++i, linkage += 4) {
    const int32_t a = find_root(parent.data(), merges[2 * i]), b = find_root(parent.data(), merges[2 * i + 1]);
    const auto joined = static_cast<int32_t>(n + i);
    parent[a] = parent[b] = joined;
    size[joined] = size[a] + size[b];
    linkage[0] = std::min(a, b);
    linkage[1] = std::max(a, b);
    linkage[2] = heights[i];
    linkage[3] = size[joined];
  }
}

}  // namespace cluscomp
