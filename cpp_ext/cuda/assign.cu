// Nearest centroid, fused: a block keeps 64 rows, walks over the centroids 64 at a time and over d in steps of 16
// through shared memory; each thread scores a 4 x 4 patch and keeps its best pair, so no n x k matrix exists.
#include <cuda_runtime.h>

#include <stdexcept>

#include "cuda_api.h"

namespace cluscomp::cuda {
namespace {

constexpr int kTile = 64;    // rows and centroids of one tile
constexpr int kDepth = 16;   // dimensions held in shared memory
constexpr int kPatch = 4;    // rows and centroids of one thread
constexpr int kSide = kTile / kPatch;

struct Pair {
  float cost;  // smaller is better
  int label;
};

__device__ bool before(const Pair& a, const Pair& b) {
  return a.cost < b.cost || (a.cost == b.cost && a.label < b.label);
}

// Loads a (64, 16) tile of a row-major matrix, zero beyond its ends, transposed to [16][64].
__device__ void load_tile(const float* source, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns,
                          float (*tile)[kTile + 1]) {
  for (int i = threadIdx.x; i < kTile * kDepth; i += kSide * kSide) {
    const int row = i / kDepth, column = i % kDepth;
    const bool inside = first_row + row < rows && first_column + column < columns;
    tile[column][row] = inside ? source[(first_row + row) * columns + first_column + column] : 0.0f;
  }
}

template <bool kL2>
__global__ void assign_kernel(const float* x, int64_t n, const float* centroids, int64_t k, int64_t d, int32_t* labels,
                              float* scores) {
  __shared__ float rows[kDepth][kTile + 1], points[kDepth][kTile + 1];
  __shared__ Pair best_of[kTile][kSide];
  const int thread_row = threadIdx.x / kSide, thread_column = threadIdx.x % kSide;
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kTile;
  Pair best[kPatch];
  for (Pair& pair : best) pair = {INFINITY, 0x7fffffff};

  for (int64_t first = 0; first < k; first += kTile) {
    float sum[kPatch][kPatch] = {};
    for (int64_t column = 0; column < d; column += kDepth) {
      load_tile(x, first_row, n, column, d, rows);
      load_tile(centroids, first, k, column, d, points);
      __syncthreads();
      for (int j = 0; j < kDepth; ++j)
        for (int r = 0; r < kPatch; ++r)
          for (int c = 0; c < kPatch; ++c) {
            const float a = rows[j][thread_row * kPatch + r], b = points[j][thread_column * kPatch + c];
            sum[r][c] = kL2 ? fmaf(a - b, a - b, sum[r][c]) : fmaf(a, b, sum[r][c]);
          }
      __syncthreads();
    }
    for (int r = 0; r < kPatch; ++r)
      for (int c = 0; c < kPatch; ++c) {
        const int64_t label = first + thread_column * kPatch + c;
        const Pair pair{kL2 ? sum[r][c] : -sum[r][c], static_cast<int>(label)};
        if (label < k && before(pair, best[r])) best[r] = pair;
      }
  }

  for (int r = 0; r < kPatch; ++r) best_of[thread_row * kPatch + r][thread_column] = best[r];
  __syncthreads();
  if (threadIdx.x < kTile && first_row + threadIdx.x < n) {
    Pair winner = best_of[threadIdx.x][0];
    for (int c = 1; c < kSide; ++c)
      if (before(best_of[threadIdx.x][c], winner)) winner = best_of[threadIdx.x][c];
    labels[first_row + threadIdx.x] = winner.label;
    scores[first_row + threadIdx.x] = kL2 ? winner.cost : -winner.cost;
  }
}

}  // namespace

void assign(const float* x, int64_t n, const float* centroids, int64_t k, int64_t d, bool l2, int32_t* labels,
            float* scores, void* stream) {
  if (n == 0) return;
  const int64_t blocks = (n + kTile - 1) / kTile;
  if (blocks > 0x7fffffff) throw std::runtime_error("too many rows for one launch; pass them in blocks");
  const auto grid = static_cast<unsigned>(blocks);
  const auto queue = static_cast<cudaStream_t>(stream);
  if (l2) {
    assign_kernel<true><<<grid, kSide * kSide, 0, queue>>>(x, n, centroids, k, d, labels, scores);
  } else {
    assign_kernel<false><<<grid, kSide * kSide, 0, queue>>>(x, n, centroids, k, d, labels, scores);
  }
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess)
    throw std::runtime_error(std::string("assign kernel: ") + cudaGetErrorString(status));
}

}  // namespace cluscomp::cuda
