// What the codes of documents stand for.
#include <atomic>
#include <cmath>
#include <vector>

#include "cluscomp/documents.h"
#include "cluscomp/kernels.h"

namespace cluscomp {
namespace {

// What makes a row of length 1 of it; 1 for a row of zeros.
float unit_scale(const Kernels& kern, const float* row, int64_t d) {
  const float length = std::sqrt(kern.dot(row, row, RowType::f32, d));
  return length > 0 ? 1.0f / length : 1.0f;
}

}  // namespace

void Documents::sums(int64_t begin, int64_t end, float* out) const {
  codes->decode(begin, end - begin, out);
  if (!residual) return;
  for (int64_t i = begin; i < end; ++i, out += d) {
    const float* centroid = coarse + list(i) * d;
    for (int64_t j = 0; j < d; ++j) out[j] += centroid[j];
  }
}

void Documents::vectors(int64_t begin, int64_t end, float* out) const {
  const Kernels& kern = kernels();
  sums(begin, end, out);
  if (!unit) return;
  for (int64_t i = begin; i < end; ++i, out += d) {
    const float factor = unit_scale(kern, out, d);
    for (int64_t j = 0; j < d; ++j) out[j] *= factor;
  }
}

float Documents::scale(int64_t vector) const {
  if (!unit) return 1.0f;
  std::atomic_ref<float> known(scales[vector]);  // threads may find it at the same time, to the same end
  float found = known.load(std::memory_order_relaxed);
  if (found == 0) {
    thread_local std::vector<float> row;
    row.resize(static_cast<size_t>(d));
    sums(vector, vector + 1, row.data());
    found = unit_scale(kernels(), row.data(), d);
    known.store(found, std::memory_order_relaxed);
  }
  return found;
}

}  // namespace cluscomp
