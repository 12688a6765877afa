#include "document_screen.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kEntries = 256;        // codewords of a sub-space: codes of 8 bits
constexpr int64_t kBlockVectors = 1024;  // whose codes and sums stay in the second cache
constexpr double kLargestSum = 32767;
constexpr double kLongest = 1e18, kLargestProduct = 1e37;  // beyond them, squares and products may leave float32
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

DocumentScreen::DocumentScreen(const Kernels& kern, const DocumentSet& documents, const QueryPanels& panels,
                               int64_t own, const ListScores& lists)
    : kern_(kern),
      documents_(documents),
      lists_(lists),
      own_(own),
      panels_(panels.count),
      m_(documents.part(0).bytes->book().m()),
      tables_(static_cast<size_t>(panels_ * m_ * kEntries * kLanes)),
      steps_(static_cast<size_t>(panels.lanes())),
      slack_(steps_.size()) {
  const PqCodebook& book = documents.part(0).bytes->book();
  const int64_t d = documents.part(0).d, dsub = d / m_;
  double radius = 0;  // of everything that codes can stand for before it is scaled, with its centroid apart
  for (int64_t s = 0; s < m_; ++s) radius += book.largest_norm(s) * book.largest_norm(s);
  radius = std::sqrt(radius) + documents.part(0).largest_centroid;
  usable_ = radius < kLongest && panels.largest_norm() * radius < kLargestProduct;
  if (!usable_) return;
  parallel_for(panels_, 1, [&](int64_t begin, int64_t end) {
    alignas(64) float products[kEntries * kLanes], inverse[kLanes];
    for (int64_t p = begin; p < end; ++p) {
      const float* panel = panels.values.data() + p * d * kLanes;
      for (int64_t l = 0; l < kLanes; ++l) {
        double largest = 0, squares = 0;
        for (int64_t s = 0; s < m_; ++s) {
          double part = 0;
          for (int64_t j = s * dsub; j < (s + 1) * dsub; ++j)
            part += static_cast<double>(panel[j * kLanes + l]) * panel[j * kLanes + l];
          largest += std::sqrt(part) * book.largest_norm(s);
          squares += part;
        }
        const auto step =
            static_cast<float>(std::max(largest * 1.001 / (kLargestSum - static_cast<double>(m_)), 1e-30));
        inverse[l] = 1.0f / step;
        steps_[p * kLanes + l] = step;
        const double rounding = 4.0 * static_cast<double>(d + 16) * 0x1p-23 * std::sqrt(squares) * radius;
        slack_[p * kLanes + l] = static_cast<float>(1.001 * (0.51 * step * static_cast<double>(m_) + rounding));
      }
      for (int64_t s = 0; s < m_; ++s) {
        kern.filter_f32(book.codewords(s), dsub, kEntries, panel + s * dsub * kLanes, panels.zeros.data(), 1, dsub,
                        products, kLanes);
        kern.documents.round_entries(products, kEntries, inverse, tables_.data() + (p * m_ + s) * kEntries * kLanes);
      }
    }
  });
}

void DocumentScreen::bounds(const int64_t* chosen, int64_t n, double* bounds) const {
  const auto vectors_of = [&](int64_t i) {
    const auto [documents, number] = documents_.at(chosen[i]);
    return documents.offsets[number + 1] - documents.offsets[number];
  };
  if (!usable_) {
    for (int64_t i = 0; i < n; ++i) bounds[i] = vectors_of(i) ? kInfinity : -kInfinity;
    return;
  }
  parallel_for(n, 64, [&](int64_t from, int64_t to) {
    thread_local std::vector<uint8_t> codes;
    thread_local std::vector<int16_t> sums;
    alignas(64) float best[kLanes];
    for (int64_t begin = from; begin < to;) {
      int64_t end = begin, count = 0;
      for (; end < to && (count == 0 || count + vectors_of(end) <= kBlockVectors); ++end) count += vectors_of(end);
      codes.resize(static_cast<size_t>(count * m_));
      sums.resize(static_cast<size_t>(count * kLanes));
      for (int64_t i = begin, at = 0; i < end; ++i) {
        const auto [documents, number] = documents_.at(chosen[i]);
        const int64_t first = documents.offsets[number], n_vectors = documents.offsets[number + 1] - first;
        std::copy_n(documents.bytes->row(first), n_vectors * m_, codes.data() + at * m_);
        at += n_vectors;
        bounds[i] = 0;
      }
      for (int64_t p = 0; p < panels_; ++p) {
        kern_.documents.add_entries(tables_.data() + p * m_ * kEntries * kLanes, codes.data(), m_, count, sums.data());
        const int64_t lanes = std::min<int64_t>(kLanes, own_ - p * kLanes);
        for (int64_t i = begin, at = 0; i < end; ++i) {
          std::fill(best, best + kLanes, -std::numeric_limits<float>::infinity());
          const auto [documents, number] = documents_.at(chosen[i]);
          const int64_t first = documents.offsets[number], n_vectors = documents.offsets[number + 1] - first;
          for (int64_t v = 0; v < n_vectors; ++v)
            kern_.documents.raise_bounds(lists_.scores(documents.list(first + v)) + p * kLanes,
                                         sums.data() + (at + v) * kLanes, steps_.data() + p * kLanes,
                                         slack_.data() + p * kLanes, documents.scale(first + v), best);
          at += n_vectors;
          for (int64_t l = 0; l < lanes; ++l) bounds[i] += static_cast<double>(best[l]);
        }
      }
      begin = end;
    }
  });
  // The sums of both sides are rounded to float at last. What is no number bounds nothing.
  for (int64_t i = 0; i < n; ++i) {
    if (std::isfinite(bounds[i])) bounds[i] += 1e-6 * std::abs(bounds[i]);
    if (std::isnan(bounds[i])) bounds[i] = kInfinity;
  }
}

}  // namespace cluscomp
