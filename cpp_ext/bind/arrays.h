// Array types at the border. nanobind refuses another dtype, shape, order or device with a readable TypeError.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "cluscomp/assign.h"
#include "cluscomp/rows.h"
#include "cluscomp/skip_bits.h"

namespace cluscomp::bind {

namespace nb = nanobind;

template <class T, class... Extra>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu, Extra...>;
template <class T, class... Extra>
using Out = nb::ndarray<T, nb::c_contig, nb::device::cpu, Extra...>;
using Vector1 = nb::ndim<1>;
using Matrix2 = nb::ndim<2>;
using Offsets = In<int64_t, Vector1>;
// (n, d) rows: float32, float16, or uint16 holding the bits of bfloat16.
using Rows = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu, Matrix2>;

inline RowType row_type(const nb::dlpack::dtype& dtype) {
  if (dtype == nb::dtype<float>()) return RowType::f32;
  const auto code = static_cast<nb::dlpack::dtype_code>(dtype.code);
  if (dtype.bits == 16 && dtype.lanes == 1) {
    if (code == nb::dlpack::dtype_code::Float) return RowType::f16;
    if (code == nb::dlpack::dtype_code::UInt || code == nb::dlpack::dtype_code::Bfloat) return RowType::bf16;
  }
  throw nb::type_error("rows must be float32, float16 or bfloat16 (bits in uint16)");
}

// The same with any distance between rows.
using SpacedRows = nb::ndarray<nb::ro, nb::device::cpu, Matrix2>;

inline RowsView rows_view(const SpacedRows& x) {
  const auto n = static_cast<int64_t>(x.shape(0)), d = static_cast<int64_t>(x.shape(1));
  if (n > 0 && ((d > 1 && x.stride(1) != 1) || (n > 1 && x.stride(0) < d)))
    throw std::invalid_argument("elements of a row must lie beside each other, and rows must not overlap");
  return {x.data(), row_type(x.dtype()), n, d, n > 1 ? x.stride(0) : d};
}

inline RowsView rows_view(const Rows& x) {
  const auto n = static_cast<int64_t>(x.shape(0)), d = static_cast<int64_t>(x.shape(1));
  return {x.data(), row_type(x.dtype()), n, d, d};
}

inline Metric metric_of(const std::string& name) {
  if (name == "l2") return Metric::l2;
  if (name == "ip") return Metric::ip;
  throw nb::value_error(("metric '" + name + "' is not one of: l2, ip").c_str());
}

// Last line of defence against a wrong call from Python code of this package; users meet typed errors before.
inline void require_equal(int64_t got, int64_t wanted, const char* what) {
  if (got == wanted) return;
  const std::string text = std::string(what) + ": got " + std::to_string(got) + ", expected " + std::to_string(wanted);
  throw std::invalid_argument(text);
}

inline SkipBits bits_of(const In<uint8_t, Vector1>& bits, int64_t n) {
  require_equal(static_cast<int64_t>(bits.shape(0)), SkipBits::bytes_of(n), "length of skip_bits");
  return {bits.data(), n};
}

// Returns n of offsets (n + 1,), which cut `rows` rows into n runs.
inline int64_t check_offsets(const Offsets& offsets, int64_t rows) {
  if (!offsets.shape(0)) throw std::invalid_argument("offsets is empty");
  const int64_t *first = offsets.data(), *end = first + offsets.shape(0);
  require_equal(end[-1], rows, "last offset");
  if (first[0] != 0 || !std::is_sorted(first, end))
    throw std::invalid_argument("offsets must start at 0 and never fall");
  return end - first - 1;
}

// A new NumPy array that owns its memory.
template <class T>
nb::ndarray<nb::numpy, T> make_array(std::initializer_list<size_t> shape) {
  size_t count = 1;
  for (size_t extent : shape) count *= extent;
  T* data = new T[count ? count : 1];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return nb::ndarray<nb::numpy, T>(data, shape, owner);
}

void bind_assign(nb::module_& module);
void bind_balanced(nb::module_& module);
void bind_codes(nb::module_& module);
void bind_hash(nb::module_& module);
void bind_ids(nb::module_& module);
void bind_medoids(nb::module_& module);
void bind_pq(nb::module_& module);
void bind_scan(nb::module_& module);
void bind_search(nb::module_& module);
void bind_prescreen(nb::module_& module);
void bind_products(nb::module_& module);
void bind_rabitq(nb::module_& module);
void bind_postings(nb::module_& module);
void bind_sparse(nb::module_& module);
void bind_term_blocks(nb::module_& module);
void bind_transport(nb::module_& module);
void bind_ward(nb::module_& module);
void bind_maxsim(nb::module_& module);
void bind_documents(nb::module_& module);
void bind_support(nb::module_& module);
void bind_walk(nb::module_& module);

}  // namespace cluscomp::bind
