// The CUDA module: torch CUDA tensors enter by DLPack; results are written into tensors made by the caller.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <stdexcept>

#include "../cuda/cuda_api.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {
template <class T, class... Extra>
using Device = nb::ndarray<T, nb::c_contig, nb::device::cuda, Extra...>;
}

NB_MODULE(_cuda, m) {
  m.doc() = "CUDA kernels of cluscomp. Private: import cluscomp.native.";
  m.def("unavailable_reason", &cluscomp::cuda::unavailable_reason, "Empty when a device can be used, else why not.");
  m.def("assign",
        [](Device<const float, nb::ndim<2>> x, Device<const float, nb::ndim<2>> centroids, bool l2,
           Device<int32_t, nb::ndim<1>> labels, Device<float, nb::ndim<1>> scores, std::uintptr_t stream) {
          if (x.shape(1) != centroids.shape(1) || labels.shape(0) != x.shape(0) || scores.shape(0) != x.shape(0))
            throw std::invalid_argument("shapes do not agree");
          nb::gil_scoped_release release;
          cluscomp::cuda::assign(x.data(), static_cast<int64_t>(x.shape(0)), centroids.data(),
                                 static_cast<int64_t>(centroids.shape(0)), static_cast<int64_t>(x.shape(1)), l2,
                                 labels.data(), scores.data(), reinterpret_cast<void*>(stream));
        },
        "x"_a, "centroids"_a, "l2"_a, "labels"_a, "scores"_a, "stream"_a);
}
