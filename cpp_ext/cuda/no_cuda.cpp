// Stands in for cuda/*.cu where no nvcc was found when the package was built.
#include <stdexcept>

#include "cuda_api.h"

namespace cluscomp::cuda {

std::string unavailable_reason() { return "this build has no CUDA kernels: nvcc was not found when it was compiled"; }

void assign(const float*, int64_t, const float*, int64_t, int64_t, bool, int32_t*, float*, void*) {
  throw std::runtime_error(unavailable_reason());
}

}  // namespace cluscomp::cuda
