// Assignment in the sub-spaces of a product quantizer, or in one: copy and centre, filter, decide.
#include "assign_decide.h"
#include "assign_filter.h"
#include "cuda_api.h"

namespace cluscomp::cuda {
namespace {

template <class T>
T* at(void* base, int64_t offset) {
  return reinterpret_cast<T*>(static_cast<unsigned char*>(base) + offset);
}
template <class T>
const T* at(const void* base, int64_t offset) {
  return reinterpret_cast<const T*>(static_cast<const unsigned char*>(base) + offset);
}

template <class T>
void assign_rows(const T* x, const float* centroids, const float* mean, const Shape& s, bool l2, const void* prepared,
                 void* scratch, int32_t* labels, float* scores, void* stream) {
  const Packed rows = packed_rows(s), points = packed_centroids(s);
  const Vectors<T> source{x, s.n, s.groups * s.d, s.d};
  const auto values = at<uint16_t>(scratch, 0);
  const auto norms = at<float>(scratch, rows.term_offset(0)), errors = at<float>(scratch, rows.term_offset(1));
  const auto bounds = at<float>(scratch, bounds_offset(s));
  const auto candidates = at<int32_t>(scratch, candidates_offset(s));
  const auto term = [&](int i) { return at<float>(prepared, points.term_offset(i)); };
  launch(Centre<T>{source, mean, s.d, rows, values, norms, errors}, warp_blocks(rows.vectors()), Centre<T>::kShared,
         stream, "centring rows");
  launch(Filter{values, at<uint16_t>(prepared, 0), norms, errors, term(0), term(1), term(2), s, bounds, candidates},
         rows.vectors() / kTile, kFilterShared, stream, "filtering pairs");
  launch(Decide<T>{source, {centroids, s.k, s.d, s.k * s.d}, mean, s, l2, bounds, candidates, labels, scores},
         warp_blocks(rows.vectors()), sizeof(typename Decide<T>::Shared), stream, "deciding pairs");
}

}  // namespace

void prepare(const float* centroids, const float* mean, const Shape& s, bool l2, void* prepared, void* stream) {
  const Packed points = packed_centroids(s);
  const Vectors<float> source{centroids, s.k, s.d, s.k * s.d};
  const auto term = [&](int i) { return at<float>(prepared, points.term_offset(i)); };
  launch(Centre<float>{source, mean, s.d, points, at<uint16_t>(prepared, 0), term(3), term(4)},
         warp_blocks(points.vectors()), Centre<float>::kShared, stream, "centring centroids");
  launch(Terms{source, mean, term(3), term(4), s, l2, term(0), term(1), term(2)}, warp_blocks(points.vectors()),
         Terms::kShared, stream, "terms of centroids");
}

void assign(const void* x, RowType type, const float* centroids, const float* mean, const Shape& s, bool l2,
            const void* prepared, void* scratch, int32_t* labels, float* scores, void* stream) {
  const auto with = [&](auto* rows) {
    assign_rows(rows, centroids, mean, s, l2, prepared, scratch, labels, scores, stream);
  };
  switch (type) {
    case RowType::f32: return with(static_cast<const float*>(x));
    case RowType::f16: return with(static_cast<const Half*>(x));
    case RowType::bf16: return with(static_cast<const Bfloat*>(x));
  }
}

}  // namespace cluscomp::cuda
