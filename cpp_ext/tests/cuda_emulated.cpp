// The CUDA sources compiled for the host, where block.h runs the threads of each phase as loops: the tests load this as
// a library and compare the kernels with the CPU's. Same functions as cuda_api.h, with C names and flat arguments; the
// sizes of plan.h with them.
#include "../cuda/assign.cu"
#include "../cuda/steps.cu"

namespace {
using namespace cluscomp::cuda;
cluscomp::RowType type_of(int type) { return static_cast<cluscomp::RowType>(type); }
}  // namespace

extern "C" {
void run_backwards(int yes) { backwards = yes != 0; }
int64_t emulated_prepared_bytes(int64_t k, int64_t d, int64_t groups) { return prepared_bytes({0, k, d, groups}); }
int64_t emulated_scratch_bytes(int64_t n, int64_t k, int64_t d, int64_t groups) {
  return scratch_bytes({n, k, d, groups});
}
int64_t emulated_column_scratch_bytes(int64_t n, int64_t k) { return column_scratch_bytes(n, k); }
void emulated_prepare(const float* centroids, const float* mean, int64_t k, int64_t d, int64_t groups, int l2,
                      void* prepared) {
  prepare(centroids, mean, {0, k, d, groups}, l2 != 0, prepared, nullptr);
}
void emulated_assign(const void* x, int type, const float* centroids, const float* mean, int64_t n, int64_t k,
                     int64_t d, int64_t groups, int l2, const void* prepared, void* scratch, int32_t* labels,
                     float* scores) {
  assign(x, type_of(type), centroids, mean, {n, k, d, groups}, l2 != 0, prepared, scratch, labels, scores, nullptr);
}
void emulated_pack_codes(const int32_t* labels, int64_t n, int64_t groups, int nbits, uint8_t* codes) {
  pack_codes(labels, n, groups, nbits, codes, nullptr);
}
void emulated_sum_rows(const void* x, int type, int64_t d, const int64_t* order, const int64_t* start, int64_t k,
                       const double* weights, const double* rounders, double* sums) {
  sum_rows(x, type_of(type), d, order, start, k, weights, rounders, sums, nullptr);
}
void emulated_row_logs(const float* cost, int64_t n, int64_t k, const double* shift, double scale, double* logs) {
  row_logs(cost, n, k, shift, scale, logs, nullptr);
}
void emulated_column_logs(const float* cost, int64_t n, int64_t k, const double* shift, double scale, void* scratch,
                          double* logs) {
  column_logs(cost, n, k, shift, scale, scratch, logs, nullptr);
}
}

// ---- index arithmetic at sizes that no test can allocate -----------------------------------------------------------

static_assert(div_up(0, 8) == 0 && div_up(1, 8) == 1 && div_up(8, 8) == 1 && div_up(9, 8) == 2);
static_assert(div_up(INT64_MAX, 2) == INT64_MAX / 2 + 1, "rounding up does not overflow");
static_assert(kTile % kWarps == 0, "the rows of a deciding block lie in one group");
static_assert(kOperandStride * 2 % 16 == 0 && kOperandStride * 2 * 16 % 32 == 0, "copies and tiles are aligned");
static_assert(kScoreStride * 4 % 16 == 0, "tiles are stored to aligned rows");
constexpr Shape kHuge{5'000'000'000, 65'537, 385, 1};
static_assert(kHuge.padded_rows() == 5'000'000'000 && kHuge.padded_centroids() == 65'664 &&
              kHuge.padded_depth() == 400);
static_assert(warp_blocks(packed_rows(kHuge).vectors()) == 625'000'000);
static_assert(warp_blocks(packed_rows({20'000'000'000, 1, 8, 48}).vectors()) > kMostBlocks, "several launches");
static_assert(packed_rows(kHuge).term_offset(0) == 5'000'000'000 * 800, "64-bit offsets");
static_assert(bounds_offset(kHuge) % 16 == 0 && candidates_offset(kHuge) % 16 == 0 && scratch_bytes(kHuge) > 1LL << 41);
static_assert(scratch_bytes({1, 1, 1, 1}) == 128 * (16 * 2 + 8 + 20 + 16));
