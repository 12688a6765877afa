// The CUDA module: torch CUDA tensors enter by DLPack; results are written into tensors made by the caller.
#include "../cuda/cuda_api.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "arrays.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace cluscomp;
using bind::require_equal;

namespace {

template <class T, size_t kDims>
using Tensor = nb::ndarray<T, nb::c_contig, nb::device::cuda, nb::ndim<kDims>>;
using Bytes = Tensor<uint8_t, 1>;
using DeviceRows = nb::ndarray<nb::ro, nb::c_contig, nb::device::cuda, nb::ndim<2>>;

template <class T>
int64_t length(const T& tensor, size_t axis) {
  return static_cast<int64_t>(tensor.shape(axis));
}
void* queue(std::uintptr_t stream) { return reinterpret_cast<void*>(stream); }

cuda::Shape shape_of(int64_t n, const Tensor<const float, 3>& centroids) {
  return {n, length(centroids, 1), length(centroids, 2), length(centroids, 0)};
}

void prepare(Tensor<const float, 3> centroids, Tensor<const float, 2> mean, bool l2, Bytes prepared,
             std::uintptr_t stream) {
  const cuda::Shape shape = shape_of(0, centroids);
  require_equal(length(mean, 0), shape.groups, "means");
  require_equal(length(mean, 1), shape.d, "dim of the means");
  require_equal(length(prepared, 0), cuda::prepared_bytes(shape), "bytes for prepared centroids");
  nb::gil_scoped_release release;
  cuda::prepare(centroids.data(), mean.data(), shape, l2, prepared.data(), queue(stream));
}

void assign(DeviceRows x, Tensor<const float, 3> centroids, Tensor<const float, 2> mean, bool l2, Bytes prepared,
            Bytes scratch, Tensor<int32_t, 2> labels, Tensor<float, 2> scores, std::uintptr_t stream) {
  const cuda::Shape shape = shape_of(length(x, 0), centroids);
  const RowType type = bind::row_type(x.dtype());
  require_equal(length(x, 1), shape.groups * shape.d, "dim of the rows");
  require_equal(length(mean, 0) * length(mean, 1), shape.groups * shape.d, "dim of the means");
  require_equal(length(prepared, 0), cuda::prepared_bytes(shape), "bytes of prepared centroids");
  require_equal(length(scratch, 0), cuda::scratch_bytes(shape), "bytes of scratch");
  require_equal(length(labels, 0) * length(labels, 1), shape.n * shape.groups, "labels");
  require_equal(length(scores, 0) * length(scores, 1), shape.n * shape.groups, "scores");
  nb::gil_scoped_release release;
  cuda::assign(x.data(), type, centroids.data(), mean.data(), shape, l2, prepared.data(), scratch.data(), labels.data(),
               scores.data(), queue(stream));
}

void pack_codes(Tensor<const int32_t, 2> labels, int nbits, Tensor<uint8_t, 2> codes, std::uintptr_t stream) {
  const int64_t n = length(labels, 0), groups = length(labels, 1);
  require_equal(length(codes, 0), n, "rows of codes");
  require_equal(length(codes, 1), (groups * nbits + 7) / 8, "bytes of a code");
  nb::gil_scoped_release release;
  cuda::pack_codes(labels.data(), n, groups, nbits, codes.data(), queue(stream));
}

void sum_rows(DeviceRows x, Tensor<const int64_t, 1> order, Tensor<const int64_t, 1> start,
              std::optional<Tensor<const double, 1>> weights, Tensor<const double, 1> rounders, Tensor<double, 2> sums,
              std::uintptr_t stream) {
  const int64_t d = length(x, 1), k = length(sums, 0);
  const RowType type = bind::row_type(x.dtype());
  require_equal(length(order, 0), length(x, 0), "row numbers");
  require_equal(length(start, 0), k + 1, "starts");
  require_equal(length(sums, 1), d, "dim of the sums");
  if (weights) require_equal(length(*weights, 0), length(x, 0), "weights");
  require_equal(length(rounders, 0), d, "rounders");
  nb::gil_scoped_release release;
  cuda::sum_rows(x.data(), type, d, order.data(), start.data(), k, weights ? weights->data() : nullptr, rounders.data(),
                 sums.data(), queue(stream));
}

void row_logs(Tensor<const float, 2> cost, Tensor<const double, 1> shift, double scale, Tensor<double, 1> logs,
              std::uintptr_t stream) {
  const int64_t n = length(cost, 0), k = length(cost, 1);
  require_equal(length(shift, 0), k, "shifts of columns");
  require_equal(length(logs, 0), n, "sums of rows");
  nb::gil_scoped_release release;
  cuda::row_logs(cost.data(), n, k, shift.data(), scale, logs.data(), queue(stream));
}

void column_logs(Tensor<const float, 2> cost, Tensor<const double, 1> shift, double scale, Bytes scratch,
                 Tensor<double, 1> logs, std::uintptr_t stream) {
  const int64_t n = length(cost, 0), k = length(cost, 1);
  require_equal(length(shift, 0), n, "shifts of rows");
  require_equal(length(logs, 0), k, "sums of columns");
  require_equal(length(scratch, 0), cuda::column_scratch_bytes(n, k), "bytes of scratch");
  nb::gil_scoped_release release;
  cuda::column_logs(cost.data(), n, k, shift.data(), scale, scratch.data(), logs.data(), queue(stream));
}

}  // namespace

NB_MODULE(_cuda, m) {
  m.doc() = "CUDA kernels of cluscomp (cuda/cuda_api.h). Private: import cluscomp.native.";
  m.def("unavailable_reason", &cuda::unavailable_reason, "Empty when a device can be used, else why not.");
  m.def("prepared_bytes", [](int64_t k, int64_t d, int64_t groups) { return cuda::prepared_bytes({0, k, d, groups}); });
  m.def("scratch_bytes",
        [](int64_t n, int64_t k, int64_t d, int64_t groups) { return cuda::scratch_bytes({n, k, d, groups}); });
  m.def("column_scratch_bytes", &cuda::column_scratch_bytes);
  m.def("prepare", &prepare, "centroids"_a, "mean"_a, "l2"_a, "prepared"_a, "stream"_a);
  m.def("assign", &assign, "x"_a, "centroids"_a, "mean"_a, "l2"_a, "prepared"_a, "scratch"_a, "labels"_a, "scores"_a,
        "stream"_a);
  m.def("pack_codes", &pack_codes, "labels"_a, "nbits"_a, "codes"_a, "stream"_a);
  m.def("sum_rows", &sum_rows, "x"_a, "order"_a, "start"_a, "weights"_a.none(), "rounders"_a, "sums"_a, "stream"_a);
  m.def("row_logs", &row_logs, "cost"_a, "shift"_a, "scale"_a, "logs"_a, "stream"_a);
  m.def("column_logs", &column_logs, "cost"_a, "shift"_a, "scale"_a, "scratch"_a, "logs"_a, "stream"_a);
}
