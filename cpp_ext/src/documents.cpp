#include "cluscomp/documents.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/pack.h"
#include "cluscomp/parallel.h"
#include "cluscomp/topk.h"
#include "document_screen.h"
#include "list_scores.h"
#include "query_panels.h"

namespace cluscomp {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();
constexpr int64_t kBlockDocuments = 2048;  // whose scores with all queries of a call are held at once
constexpr int64_t kScanDocuments = 4096;   // one piece of the scan of list numbers

// MaxSim of the document at a position with every query.
void score_document(const Kernels& kern, const DocumentSet& set, const QueryPanels& panels,
                    const int64_t* query_offsets, int64_t nq, int64_t position, float* scores, int64_t stride) {
  thread_local std::vector<float> rows, best;
  const auto [documents, number] = set.at(position);
  const int64_t begin = documents.offsets[number], n = documents.offsets[number + 1] - begin;
  rows.resize(static_cast<size_t>(n * documents.d));
  best.resize(static_cast<size_t>(panels.lanes()));
  documents.vectors(begin, begin + n, rows.data());
  largest_products(kern, panels, rows.data(), n, documents.d, best.data());
  for (int64_t q = 0; q < nq; ++q) {
    double sum = 0;
    for (int64_t i = query_offsets[q]; i < query_offsets[q + 1]; ++i) sum += static_cast<double>(best[i]);
    scores[q * stride] = static_cast<float>(sum);
  }
}

RowsView rows_of(const float* queries, int64_t begin, int64_t end, int64_t d) {
  return {queries + begin * d, RowType::f32, end - begin, d, d};
}

void search_all(const DocumentSet& documents, const float* queries, const int64_t* query_offsets, int64_t nq,
                const DocumentSearch& search, float* scores, int64_t* positions) {
  const int64_t k = search.k;
  const Kernels& kern = kernels();
  const QueryPanels panels = pack_queries(rows_of(queries, 0, query_offsets[nq], documents.part(0).d));
  std::vector<TopK> best(static_cast<size_t>(nq), TopK(k));
  std::vector<float> block(static_cast<size_t>(nq * kBlockDocuments));
  for (int64_t first = 0; first < documents.n(); first += kBlockDocuments) {
    const int64_t count = std::min(kBlockDocuments, documents.n() - first);
    parallel_for(count, 8, [&](int64_t begin, int64_t end) {
      documents.for_kept(search.skip, first + begin, first + end, [&](int64_t i) {
        score_document(kern, documents, panels, query_offsets, nq, i, block.data() + (i - first), kBlockDocuments);
      });
    });
    parallel_for(nq, 1, [&](int64_t begin, int64_t end) {
      for (int64_t q = begin; q < end; ++q)
        documents.for_kept(search.skip, first, first + count,
                           [&](int64_t i) { best[q].push(block[q * kBlockDocuments + (i - first)], i); });
    });
  }
  for (int64_t q = 0; q < nq; ++q) best[q].write(scores + q * k, positions + q * k);
}

// The `wanted` documents with the largest sums, equal ones by position,
// ascending. largest: no sum is above it.
std::vector<int64_t> choose(const DocumentSet& documents, const std::vector<uint32_t>& sums, const SkipBits* skip,
                            int64_t wanted, uint32_t largest) {
  std::vector<int64_t> counts(static_cast<size_t>(largest) + 1, 0), chosen;
  documents.for_kept(skip, 0, documents.n(), [&](int64_t i) { ++counts[sums[i]]; });
  int64_t above = 0;
  auto last = static_cast<int64_t>(largest);  // sums above it are chosen, and the first of those equal to it
  while (last > 0 && above + counts[last] < wanted) above += counts[last--];
  int64_t equal = wanted - above;
  documents.for_kept(skip, 0, documents.n(), [&](int64_t i) {
    if (sums[i] > static_cast<uint32_t>(last) || (sums[i] == static_cast<uint32_t>(last) && equal-- > 0))
      chosen.push_back(i);
  });
  return chosen;
}

// Documents [begin, end) of one part.
struct Piece {
  int64_t part, begin, end;
};

std::vector<Piece> pieces_of(const DocumentSet& documents) {
  std::vector<Piece> pieces;
  for (int64_t p = 0; p < documents.parts(); ++p)
    for (int64_t begin = 0, n = documents.part(p).n; begin < n; begin += kScanDocuments)
      pieces.push_back({p, begin, std::min(begin + kScanDocuments, n)});
  return pieces;
}

// sums[i] += what the lists of the vectors of document i score, for the
// documents of one piece.
void add_list_scores(const Documents& documents, const ListScores& table, const Piece& piece, uint32_t* sums) {
  const Kernels& kern = kernels();
  const int64_t* offsets = documents.offsets + piece.begin;
  for (int64_t b = 0; b < table.blocks(); ++b) {
    if (documents.wide) {
      kern.documents.list_maxima_i32(table.block(b), static_cast<const int32_t*>(documents.lists), offsets,
                                     piece.end - piece.begin, sums);
    } else {
      kern.documents.list_maxima_u16(table.block(b), static_cast<const uint16_t*>(documents.lists), offsets,
                                     piece.end - piece.begin, sums);
    }
  }
}

// What the lists of the vectors of each document score. Small parts share a
// task: handing one out costs more than reading it.
std::vector<uint32_t> list_sums(const DocumentSet& documents, const ListScores& table) {
  std::vector<uint32_t> sums(static_cast<size_t>(documents.n()), 0);
  const std::vector<Piece> pieces = pieces_of(documents);
  const auto count = static_cast<int64_t>(pieces.size());
  const int64_t at_once = std::clamp<int64_t>(count * kScanDocuments / std::max<int64_t>(documents.n(), 1), 1, 64);
  parallel_for(count, at_once, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[i];
      const int64_t position = documents.first(piece.part) + piece.begin;
      add_list_scores(documents.part(piece.part), table, piece, sums.data() + position);
    }
  });
  return sums;
}

std::vector<int64_t> candidates_of(const DocumentSet& documents, const std::vector<uint32_t>& sums,
                                   int64_t query_vectors, const DocumentSearch& search) {
  return choose(documents, sums, search.skip, search.candidates, static_cast<uint32_t>(255 * query_vectors));
}

// Best k of the chosen documents, each of which gets its exact score.
TopK best_of_all(const DocumentSet& documents, const QueryPanels& panels, const int64_t* own,
                 const std::vector<int64_t>& chosen, int64_t k) {
  const Kernels& kern = kernels();
  std::vector<float> found(chosen.size());
  parallel_for(static_cast<int64_t>(chosen.size()), 8, [&](int64_t from, int64_t to) {
    for (int64_t i = from; i < to; ++i) score_document(kern, documents, panels, own, 1, chosen[i], found.data() + i, 1);
  });
  TopK best(k);
  for (size_t i = 0; i < chosen.size(); ++i) best.push(found[i], chosen[i]);
  return best;
}

// The same hits: exact scores from the largest bound on, until no bound reaches
// the k-th score.
TopK best_of_screened(const DocumentSet& documents, const QueryPanels& panels, const int64_t* own,
                      const ListScores& table, const std::vector<int64_t>& chosen, int64_t k) {
  const Kernels& kern = kernels();
  std::vector<double> bounds(chosen.size());
  DocumentScreen(kern, documents, panels, own[1], table)
      .bounds(chosen.data(), static_cast<int64_t>(chosen.size()), bounds.data());
  std::vector<int64_t> order(chosen.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return bounds[a] > bounds[b]; });
  TopK best(k);
  for (const int64_t i : order) {
    if (bounds[i] < static_cast<double>(best.threshold())) break;
    float score = kNone;
    score_document(kern, documents, panels, own, 1, chosen[i], &score, 1);
    best.push(score, chosen[i]);
  }
  return best;
}

}  // namespace

void search_documents(const DocumentSet& documents, const float* queries, const int64_t* query_offsets, int64_t nq,
                      const DocumentSearch& search, float* scores, int64_t* positions) {
  const Documents& form = documents.part(0);
  if (!form.lists || search.candidates >= documents.n())
    return search_all(documents, queries, query_offsets, nq, search, scores, positions);
  const bool screened = search.candidates >= 2 * search.k && DocumentScreen::takes(documents);
  parallel_for(nq, 1, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; ++q) {
      const int64_t first = query_offsets[q], own[2] = {0, query_offsets[q + 1] - first};
      const QueryPanels panels = pack_queries(rows_of(queries, first, first + own[1], form.d));
      const ListScores table(kernels(), form.coarse, form.nlist, form.d, panels, own[1], search.nprobe);
      const std::vector<int64_t> chosen = candidates_of(documents, list_sums(documents, table), own[1], search);
      TopK best = screened ? best_of_screened(documents, panels, own, table, chosen, search.k)
                           : best_of_all(documents, panels, own, chosen, search.k);
      best.write(scores + q * search.k, positions + q * search.k);
    }
  });
}

void choose_documents(const DocumentSet& documents, const float* queries, const int64_t* query_offsets, int64_t nq,
                      const DocumentSearch& search, float* sums, int64_t* positions) {
  const Documents& form = documents.part(0);
  const int64_t count = search.candidates;
  std::fill(sums, sums + nq * count, kNone);
  std::fill(positions, positions + nq * count, int64_t{-1});
  parallel_for(nq, 1, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; ++q) {
      const int64_t first = query_offsets[q], n = query_offsets[q + 1] - first;
      const QueryPanels panels = pack_queries(rows_of(queries, first, first + n, form.d));
      const ListScores table(kernels(), form.coarse, form.nlist, form.d, panels, n, search.nprobe);
      const std::vector<uint32_t> all = list_sums(documents, table);
      const std::vector<int64_t> chosen = candidates_of(documents, all, n, search);
      for (size_t i = 0; i < chosen.size(); ++i) {
        sums[q * count + static_cast<int64_t>(i)] = static_cast<float>(all[chosen[i]]);
        positions[q * count + static_cast<int64_t>(i)] = chosen[i];
      }
    }
  });
}

void score_documents(const DocumentSet& documents, const float* queries, const int64_t* query_offsets, int64_t nq,
                     const int64_t* chosen, int64_t c, float* scores) {
  const Kernels& kern = kernels();
  std::fill(scores, scores + nq * c, kNone);
  parallel_for(nq, 1, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; ++q) {
      const int64_t first = query_offsets[q], own[2] = {0, query_offsets[q + 1] - first};
      const QueryPanels panels = pack_queries(rows_of(queries, first, first + own[1], documents.part(0).d));
      for (int64_t i = 0; i < c; ++i)
        if (chosen[q * c + i] >= 0)
          score_document(kern, documents, panels, own, 1, chosen[q * c + i], scores + q * c + i, 1);
    }
  });
}

bool bound_documents(const DocumentSet& documents, const float* query, int64_t n, const int64_t* chosen, int64_t c,
                     double* bounds) {
  if (!DocumentScreen::takes(documents)) return false;
  const Documents& form = documents.part(0);
  const QueryPanels panels = pack_queries(rows_of(query, 0, n, form.d));
  const ListScores table(kernels(), form.coarse, form.nlist, form.d, panels, n, form.nlist);
  DocumentScreen(kernels(), documents, panels, n, table).bounds(chosen, c, bounds);
  return true;
}

}  // namespace cluscomp
