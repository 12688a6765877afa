// What a kernel sees of its block, on a GPU and, for tests without one, as plain loops on the host.
//
// A kernel is a struct with operator()(Block&). It works in phases: block.threads(f) calls f(t) for every thread and
// then waits for all of them. Within a phase threads may not depend on each other. Nothing else synchronises, so the
// host's loops, which may run the threads of a phase in any order, show every dependence on that order.
// block.warps(f) is the same for work that a warp does as one: products of 16 x 16 tiles.
// Values that a thread keeps from phase to phase are PerThread or PerWarp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "plan.h"

#ifdef __CUDACC__

#include <cuda_bf16.h>
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <mma.h>

#define CLUSCOMP_DEVICE __device__ __forceinline__

namespace cluscomp::cuda {

template <class T>
struct PerThread {
  T value;
  CLUSCOMP_DEVICE T& operator[](int) { return value; }
};
template <class T>
using PerWarp = PerThread<T>;

struct Block {
  int64_t index;
  unsigned char* shared;

  template <class F>
  CLUSCOMP_DEVICE void threads(F f) {
    f(static_cast<int>(threadIdx.x));
    __syncthreads();
  }
  template <class F>
  CLUSCOMP_DEVICE void warps(F f) {
    f(static_cast<int>(threadIdx.x / 32));
    __syncthreads();
  }
};

// 16 bytes from global to shared memory; they are there after copies_done() and the end of that phase.
CLUSCOMP_DEVICE void copy16(void* to, const void* from) { __pipeline_memcpy_async(to, from, 16); }
CLUSCOMP_DEVICE void copies_done() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

// sum += a b^T for 16 x 16 tiles of bfloat16 rows a and b, with float32 sums.
using Fragment = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;
using LeftTile = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, __nv_bfloat16, nvcuda::wmma::row_major>;
using RightTile = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, __nv_bfloat16, nvcuda::wmma::col_major>;

CLUSCOMP_DEVICE void clear(Fragment& sum) { nvcuda::wmma::fill_fragment(sum, 0.0f); }
template <class Tile>
CLUSCOMP_DEVICE void load(Tile& tile, const uint16_t* from) {
  nvcuda::wmma::load_matrix_sync(tile, reinterpret_cast<const __nv_bfloat16*>(from), kOperandStride);
}
CLUSCOMP_DEVICE void multiply(Fragment& sum, const LeftTile& a, const RightTile& b) {
  nvcuda::wmma::mma_sync(sum, a, b, sum);
}
CLUSCOMP_DEVICE void store(float* to, const Fragment& sum) {
  nvcuda::wmma::store_matrix_sync(to, sum, kScoreStride, nvcuda::wmma::mem_row_major);
}

inline void require(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

template <class Kernel>
__global__ void __launch_bounds__(kThreads) run(const Kernel kernel, int64_t first) {
  extern __shared__ __align__(128) unsigned char shared[];
  Block block{first + blockIdx.x, shared};
  kernel(block);
}

template <class Kernel>
void launch(const Kernel& kernel, int64_t blocks, size_t shared, void* stream, const char* name) {
  if (shared > 48 * 1024)
    require(cudaFuncSetAttribute(run<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
            name);
  for (int64_t first = 0; first < blocks; first += kMostBlocks) {
    const int64_t here = blocks - first < kMostBlocks ? blocks - first : kMostBlocks;
    run<<<static_cast<unsigned>(here), kThreads, shared, static_cast<cudaStream_t>(stream)>>>(kernel, first);
    require(cudaGetLastError(), name);
  }
}

}  // namespace cluscomp::cuda

#else  // ---- the host's loops, for tests ----

#define CLUSCOMP_DEVICE inline

namespace cluscomp::cuda {

inline bool backwards = false;  // the order in which the host runs the threads of a phase

template <class T, int kCount>
struct Each {
  std::vector<T> values = std::vector<T>(kCount);
  T& operator[](int i) { return values[i]; }
};
template <class T>
using PerThread = Each<T, kThreads>;
template <class T>
using PerWarp = Each<T, kWarps>;

struct Block {
  int64_t index;
  unsigned char* shared;

  template <class F>
  void threads(F f) {
    in_order(kThreads, f);
  }
  template <class F>
  void warps(F f) {
    in_order(kWarps, f);
  }
  template <class F>
  static void in_order(int count, F f) {
    for (int i = 0; i < count; ++i) f(backwards ? count - 1 - i : i);
  }
};

inline void copy16(void* to, const void* from) { std::memcpy(to, from, 16); }
inline void copies_done() {}

constexpr int kTensorTerms = 8;  // products that a tensor core of sm_80 adds at once; 16 on sm_90

struct Fragment {
  float v[16][16];
};
struct LeftTile {
  float v[16][16];
};
using RightTile = LeftTile;

inline void clear(Fragment& sum) { sum = {}; }
inline void load(LeftTile& tile, const uint16_t* from) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) {
      const uint32_t bits = static_cast<uint32_t>(from[i * kOperandStride + j]) << 16;
      std::memcpy(&tile.v[i][j], &bits, 4);
    }
}
// The least exact sum that was measured on tensor cores with float32 sums (Fasi et al., PeerJ Computer Science 7:e330,
// 2021): terms are aligned to the largest, cut after 24 bits, and so is their sum. Subnormal inputs count as zero,
// which NVIDIA leaves open.
inline float add_cut(float sum, const float* a, const float* b) {
  constexpr float kNormal = std::numeric_limits<float>::min();
  double terms[kTensorTerms + 1] = {sum}, largest = std::fabs(sum), total = 0;
  for (int l = 0; l < kTensorTerms; ++l) {
    const bool vanishes = std::fabs(a[l]) < kNormal || std::fabs(b[l]) < kNormal;
    terms[l + 1] = vanishes ? 0.0 : static_cast<double>(a[l]) * static_cast<double>(b[l]);
    if (!(std::fabs(terms[l + 1]) <= largest)) largest = std::fabs(terms[l + 1]);
  }
  const bool cut = largest > 0 && largest < 0x1p120;
  const double unit = cut ? std::ldexp(1.0, std::ilogb(largest) - 23) : 1.0;
  for (int l = 0; l <= kTensorTerms; ++l) total += cut ? std::trunc(terms[l] / unit) * unit : terms[l];
  const float nearest = static_cast<float>(total);
  return cut && std::fabs(nearest) > std::fabs(total) ? std::nextafter(nearest, 0.0f) : nearest;
}
inline void multiply(Fragment& sum, const LeftTile& a, const RightTile& b) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j)
      for (int l = 0; l < 16; l += kTensorTerms) sum.v[i][j] = add_cut(sum.v[i][j], &a.v[i][l], &b.v[j][l]);
}
inline void store(float* to, const Fragment& sum) {
  for (int i = 0; i < 16; ++i) std::memcpy(to + i * kScoreStride, sum.v[i], sizeof sum.v[i]);
}

template <class Kernel>
void launch(const Kernel& kernel, int64_t blocks, size_t shared, void*, const char*) {
  std::vector<uint64_t> memory((shared + 7) / 8);
  for (int64_t index = 0; index < blocks; ++index) {
    std::fill(memory.begin(), memory.end(), ~uint64_t{0});  // NaN: shared memory starts as anything
    Block block{index, reinterpret_cast<unsigned char*>(memory.data())};
    kernel(block);
  }
}

}  // namespace cluscomp::cuda

#endif

namespace cluscomp::cuda {

// Stored values as float32, on either side; exact.
struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

CLUSCOMP_DEVICE float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
CLUSCOMP_DEVICE float value_of(float x) { return x; }
CLUSCOMP_DEVICE float value_of(Bfloat x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
CLUSCOMP_DEVICE float value_of(Half x) {  // moving the exponent's bias from 15 to 127 also mends subnormal numbers
  const float magnitude = float_of((x.bits & 0x7fffu) << 13) * 0x1p112f;
  return x.bits & 0x8000u ? -magnitude : magnitude;
}
// The nearest bfloat16, ties to even; x is finite or infinite.
CLUSCOMP_DEVICE uint16_t to_bfloat(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace cluscomp::cuda
