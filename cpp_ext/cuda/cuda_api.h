// What the CUDA module can do. cuda/*.cu implements it; cuda/no_cuda.cpp has the same symbols and throws by name.
// Pointers are device pointers; `stream` is a cudaStream_t (torch's current stream).
#pragma once

#include <cstdint>
#include <string>

namespace cluscomp::cuda {

// Empty when a device can be used, else the reason why not.
std::string unavailable_reason();

// labels (n) and scores (n): nearest centroid of every row. l2: smallest sum (x - c)^2 in float32, taken from
// differences so that a common offset cannot cancel; otherwise the largest inner product. Ties: lowest index.
// x (n, d) and centroids (k, d) are row-major float32. No n x k matrix is made.
void assign(const float* x, int64_t n, const float* centroids, int64_t k, int64_t d, bool l2, int32_t* labels,
            float* scores, void* stream);

}  // namespace cluscomp::cuda
