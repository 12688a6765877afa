#include "cluscomp/maxsim.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cluscomp/kernels.h"
#include "cluscomp/pack.h"
#include "cluscomp/parallel.h"
#include "query_panels.h"

namespace cluscomp {
namespace {

constexpr int64_t kRows = 64;   // vectors of a document scored at a time
constexpr int64_t kPanels = 8;  // of 16 query vectors each
constexpr float kNone = -std::numeric_limits<float>::infinity();

}  // namespace

QueryPanels pack_queries(const RowsView& queries) {
  const int64_t count = round_up(queries.n, kLanes) / kLanes, d = queries.d;
  QueryPanels panels{std::vector<float>(static_cast<size_t>(count * d * kLanes), 0.0f),
                     std::vector<float>(static_cast<size_t>(count * kLanes), 0.0f), count};
  parallel_for(count, 4, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(d));
    for (int64_t i = begin * kLanes; i < std::min(end * kLanes, queries.n); ++i) {
      load_rows(queries, i, i + 1, row.data(), d);
      float* out = panels.values.data() + i / kLanes * d * kLanes + i % kLanes;
      for (int64_t j = 0; j < d; ++j) out[j * kLanes] = row[j];
    }
  });
  return panels;
}

double QueryPanels::largest_norm() const {
  double largest = 0;
  const int64_t d = count ? static_cast<int64_t>(values.size()) / lanes() : 0;
  for (int64_t p = 0; p < count; ++p)
    for (int64_t l = 0; l < kLanes; ++l) {
      double squares = 0;
      for (int64_t j = 0; j < d; ++j) {
        const double value = values[(p * d + j) * kLanes + l];
        squares += value * value;
      }
      if (squares > largest || std::isnan(squares)) largest = squares;
    }
  return std::sqrt(largest);
}

void largest_products(const Kernels& kern, const QueryPanels& panels, const float* rows, int64_t n, int64_t d,
                      float* best) {
  alignas(64) float products[kRows * kPanels * kLanes];
  std::fill(best, best + panels.lanes(), kNone);
  for (int64_t p = 0; p < panels.count; p += kPanels) {
    const int64_t width = std::min(kPanels, panels.count - p), lanes = width * kLanes;
    float* own = best + p * kLanes;
    if (n > kRows) check_interrupt();  // one document of very many vectors
    for (int64_t r = 0; r < n; r += kRows) {
      const int64_t count = std::min(kRows, n - r);
      kern.filter_f32(rows + r * d, d, static_cast<int>(count), panels.values.data() + p * d * kLanes,
                      panels.zeros.data(), static_cast<int>(width), d, products, lanes);
      for (int64_t i = 0; i < count; ++i)
        for (int64_t l = 0; l < lanes; ++l) own[l] = std::max(own[l], products[i * lanes + l]);
    }
  }
}

void maxsim(const RowsView& queries, const int64_t* query_offsets, int64_t n_queries, const RowsView& docs,
            const int64_t* doc_offsets, int64_t n_docs, float* scores) {
  const Kernels& kern = kernels();
  const QueryPanels panels = pack_queries(queries);
  const int64_t d = docs.d;
  parallel_for(n_docs, 1, [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> rows, best;
    best.resize(static_cast<size_t>(panels.lanes()));
    for (int64_t doc = begin; doc < end; ++doc) {
      const int64_t first = doc_offsets[doc], n = doc_offsets[doc + 1] - first;
      const float* values = static_cast<const float*>(docs.row(first));
      if (docs.type != RowType::f32) {
        rows.resize(static_cast<size_t>(n * d));
        load_rows(docs, first, first + n, rows.data(), d);
        values = rows.data();
      }
      largest_products(kern, panels, values, n, d, best.data());
      for (int64_t q = 0; q < n_queries; ++q) {
        double sum = 0;
        for (int64_t i = query_offsets[q]; i < query_offsets[q + 1]; ++i) sum += best[i];
        scores[q * n_docs + doc] = static_cast<float>(sum);
      }
    }
  });
}

}  // namespace cluscomp
