#include <cuda_runtime.h>

#include "cuda_api.h"

namespace cluscomp::cuda {
namespace {

constexpr int kLeastMajor = 8;  // bfloat16 tensor cores

std::string text(cudaError_t status) { return cudaGetErrorString(status); }

}  // namespace

std::string unavailable_reason() {
  int driver = 0, count = 0, device = 0, major = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess)
    return "the CUDA runtime finds no device: " + text(status);
  if (count == 0) return "no CUDA device is visible";
  if (const cudaError_t status = cudaGetDevice(&device); status != cudaSuccess) return text(status);
  if (const cudaError_t status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
      status != cudaSuccess)
    return text(status);
  if (major >= kLeastMajor) return "";
  return "device " + std::to_string(device) + " has compute capability " + std::to_string(major) + ".x, at least " +
         std::to_string(kLeastMajor) + ".0 is needed";
}

}  // namespace cluscomp::cuda
