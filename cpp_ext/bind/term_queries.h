// Queries of terms, and the types of stored weights, at the border.
#pragma once

#include "arrays.h"
#include "cluscomp/postings.h"

namespace cluscomp::bind {

inline WeightType weight_type(const nb::dlpack::dtype& dtype) {
  if (dtype == nb::dtype<uint8_t>()) return WeightType::u8;
  if (dtype == nb::dtype<float>()) return WeightType::f32;
  if (static_cast<nb::dlpack::dtype_code>(dtype.code) == nb::dlpack::dtype_code::Float && dtype.bits == 16)
    return WeightType::f16;
  throw nb::type_error("weights must be uint8, float16 or float32");
}

inline TermQueries queries_of(const In<int64_t, Vector1>& offsets, const In<int64_t, Vector1>& lists,
                              const In<float, Vector1>& weights) {
  require_equal(static_cast<int64_t>(weights.shape(0)), static_cast<int64_t>(lists.shape(0)), "length of weights");
  const int64_t n = check_offsets(offsets, static_cast<int64_t>(lists.shape(0)));
  return {offsets.data(), lists.data(), weights.data(), n};
}

}  // namespace cluscomp::bind
