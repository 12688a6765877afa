#include <cuda_runtime.h>

#include "cuda_api.h"

namespace cluscomp::cuda {

std::string unavailable_reason() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) return std::string("the CUDA runtime finds no device: ") + cudaGetErrorString(status);
  return count > 0 ? "" : "no CUDA device is visible";
}

}  // namespace cluscomp::cuda
