// The table of kernels that exist once per instruction set. Engines (assign.cpp, scan.cpp, ...) are written once on
// top of it and know no intrinsics.
//
// Every float kernel sums in one stated order, so that all instruction sets give the same bits:
// element i of a row goes to accumulator (i / 16) % 4, lane i % 16; accumulators are added as (0+1)+(2+3) and lanes
// by halves (l with l+8, then l+4, l+2, l+1). Products are fused (one rounding) everywhere.
#pragma once

#include <cstdint>

#include "cluscomp/bit_plane_kernels.h"
#include "cluscomp/documents_kernels.h"
#include "cluscomp/product_kernels.h"
#include "cluscomp/rows.h"
#include "cluscomp/support_kernels.h"
#include "cluscomp/transport_kernels.h"
#include "cluscomp/ward_kernels.h"

namespace cluscomp {

constexpr int kLanes = 16;                 // centroids in one panel; a zmm register of floats
constexpr int64_t kSparsePanel = 64;       // centroids in one panel for sparse rows: four cache lines a non-zero
constexpr int64_t kGroupRows = 32;         // rows of one interleaved group of 4-bit codes
constexpr int64_t kMaxFourBitBytes = 256;  // 256 * 254 < 65536
constexpr int64_t kMostByteDims = 131072;  // * 64 * 255 < 2^31
constexpr int kSharedQueries = 4;          // queries that share one pass over 4-bit codes

// Where Kernels::reach_u4 puts the sum of row r of 64: even rows of a group before odd ones.
constexpr int sum_slot(int r) { return r / 32 * 32 + r % 2 * 16 + r % 32 / 2; }

// sum of the lows; of the largest magnitudes; one step for all sub-spaces; infinite or NaN where a table is.
struct TableScale {
  double low, magnitude;
  float step;
};

// A row element is in [-row_max, row_max]; a centroid element in [-centroid_max, centroid_max] is stored plus `offset`
// in a byte. bounds: x (rows, d4 * 4); panels [p][d4][16][4]; terms [p][4][16] = scale, bias, error, norm;
// row_terms[r][4] = scale, |X|, |ex|, unused; row_sum[r] = offset * sum of the row's integers. It writes
//   out[r * ld + p * 16 + lane] = (<x, c> - row_sum) * row.scale * scale + bias + |X| * error + |ex| * norm
struct IntFilter {
  int row_max, centroid_max, offset;
  void (*bounds)(const int8_t* x, int rows, const uint8_t* panels, const float* terms, const float* row_terms,
                 const int32_t* row_sum, int n_panels, int64_t d4, float* out, int64_t ld);
};

// Two groups of 32 rows of 4-bit codes, interleaved [bytes][32]. `second` may be `first` again where there is one
// group. ahead: where as many codes begin that are likely to be read next.
struct CodePair {
  const uint8_t *first, *second, *ahead;
};

struct Kernels {
  const char* name;

  // Integer filters: `fine` takes about 8 bits, `coarse` about 6 where that is faster; equal where it is not.
  IntFilter fine, coarse;

  // sum_i a[i] * b[i] and sum_i (a[i] - b[i])^2 in float64 and in float32; b may be stored in any row type.
  double (*dot_f64)(const float* a, const float* b, int64_t d);
  double (*l2_f64)(const float* a, const float* b, int64_t d);
  float (*dot)(const float* a, const void* b, RowType type, int64_t d);
  float (*l2)(const float* a, const void* b, RowType type, int64_t d);
  // `dot` and `l2` of each of m rows a (m, d) with each of n rows b (n, d), the same bits: out[i * ld + j].
  void (*dots)(const float* a, int64_t m, const float* b, int64_t n, int64_t d, float* out, int64_t ld);
  void (*squares)(const float* a, int64_t m, const float* b, int64_t n, int64_t d, float* out, int64_t ld);
  // Against uint8 codes b: sum a[i] * b[i], and sum (a[i] - scale[i] * b[i])^2.
  float (*dot_u8)(const float* a, const uint8_t* b, int64_t d);
  float (*l2_u8)(const float* a, const float* scale, const uint8_t* b, int64_t d);
  // out[i] = sum_j codes[i][j] * weights[j] of n rows (n, d). weights: in -64..64, so that no pair of products leaves
  // 16 bits, zero from d to the next multiple of 64. d is at most kMostByteDims: sums fit 32 bits.
  void (*dots_u8)(const uint8_t* codes, int64_t n, int64_t d, const int8_t* weights, int32_t* out);

  // Adds to a float64 accumulator: acc[i] += weight * x[i] (one rounding).
  void (*add_f64)(double* acc, const float* x, double weight, int64_t d);
  // The same with weight * x[i] rounded to a multiple of a unit first, in which rounders[i] is 1.5 * 2^52: exact while
  // acc[i] stays within 2^53 units.
  void (*add_rounded_f64)(double* acc, const float* x, double weight, const double* rounders, int64_t d);

  // Row-wise conversion of one row to float32.
  void (*load_f16)(const uint16_t* x, float* out, int64_t d);

  // x - mean for one row into `centred`, and its largest magnitude; `sum_sq` gets sum centred^2.
  float (*centre)(const float* x, const float* mean, float* centred, int64_t d, float* sum_sq);
  // Rounds centred * inv_scale to integers (nearest even); returns their sum; norms of the dequantised row and of the
  // error.
  int32_t (*quantize)(const float* centred, float scale, float inv_scale, int8_t* out, int64_t d, float* value_sq,
                      float* error_sq);

  // out[r * ld + p * 16 + lane] = score of row r against the centroids of panel p, for `rows` rows and `panels` panels.
  // Float filter: x (rows, d) with row stride ldx; panels [p][d][16]; bias [p][16]; score = bias + <x, c>.
  void (*filter_f32)(const float* x, int64_t ldx, int rows, const float* panels, const float* bias, int n_panels,
                     int64_t d, float* out, int64_t ld);
  // The same scores, of which only the largest of every row, its position and the second largest leave the registers.
  void (*top2_f32)(const float* x, int64_t ldx, int rows, const float* panels, const float* bias, int n_panels,
                   int64_t d, float* best, int32_t* position, float* second);
  // Largest value of n (a multiple of 16) scores and its lowest position; NaN is passed over.
  float (*max_score)(const float* scores, int64_t n, int64_t* position);
  // Positions i (ascending) with !(scores[i] < threshold); returns how many. NaN passes.
  int64_t (*select)(const float* scores, int64_t n, float threshold, int32_t* positions);

  // Short rows, 16 at a time, one row a lane (columns.h).
  // columns_f32: rows x (row stride ldx) less mean, as out [groups][d][16], and their squared norms; d a multiple of 4.
  // Returns the largest squared norm; infinity where one is infinite or no number.
  float (*columns_f32)(const float* x, int64_t ldx, int64_t groups, const float* mean, int64_t d, float* out,
                       float* sum_sq);
  // Rounds columns * scale (nearest even) to 16 bits, two dimensions in one number: out [groups][pairs][16].
  void (*columns_i16)(const float* columns, int64_t groups, int64_t d, int64_t pairs, float scale, int32_t* out);
  // x * scale, towards zero, what is below 32 bits as the smallest number; its low byte is replaced by i % 256.
  void (*start_i32)(const float* x, int64_t n, float scale, int32_t* out);
  // The two largest of <x, c> + start[c], with the low byte of start[c], over k <= 256 centroids [k][pairs], k a
  // multiple of 4.
  void (*top2_i16)(const int32_t* x, int64_t groups, const int32_t* centroids, const int32_t* start, int64_t k,
                   int64_t pairs, int32_t* best, int32_t* second);

  // Positions i (ascending, any n) with values[i] < limits[i]; returns how many. NaN does not pass.
  int64_t (*select_below)(const float* values, const float* limits, int64_t n, int32_t* positions);

  // out[lane] = sum of values[i] * panel[columns[i]][lane] over one sparse row, in order. panel [d][64].
  void (*sparse_scores)(const int32_t* columns, const float* values, int64_t count, const float* panel, float* out);

  // PQ look-up tables for one sub-space: codebook transposed [dsub][ksub], ksub a multiple of 16.
  void (*table_dot)(const float* q, const float* codebook_t, int64_t dsub, int64_t ksub, float* out);
  void (*table_l2)(const float* q, const float* codebook_t, int64_t dsub, int64_t ksub, float* out);

  // One group of a score-aware code (pq.h): of ksub codewords [dsub][ksub], ksub a multiple of 16, the one with the
  // smallest norms[k] - 2 <x, c_k> + weight * (along - <u, c_k>)^2, the lowest on ties; *inner gets its <u, c>.
  // -1 where no cost is finite; *inner then stays.
  int32_t (*score_aware)(const float* x, const float* u, const float* codebook_t, const float* norms, float along,
                         float weight, int64_t dsub, int64_t ksub, float* inner);

  // Float tables [m][16] of 4-bit codes as bytes of at most 126 in 7 bits: entry = low of its sub-space + step * byte,
  // where byte = round((sign * entry - low) / step + 0.5001): never below the entry. out
  // [ceil(m / 2)][low, high half of a byte][16], the half beyond the last code zero.
  TableScale (*byte_tables)(const float* tables, int64_t m, float sign, uint8_t* out);

  // 4-bit codes against the byte tables of up to kSharedQueries queries. Where there is one group, bits 32 to 63 mean
  // nothing. sums[q][64] gets the sums of the table entries in the order of `sum_slot` (nothing where no row of it
  // reaches); bit r of masks[q] says whether that of row r is at least thresholds[q]. At most kMaxFourBitBytes bytes:
  // sums fit 16 bits.
  void (*reach_u4)(const CodePair& codes, int64_t bytes, const uint8_t* const* tables, const uint16_t* thresholds,
                   int queries, uint64_t* masks, uint16_t* sums);

  TransportKernels transport;
  WardKernels ward;
  DocumentKernels documents;
  SupportKernels support;
  BitPlaneKernels planes;
  ProductKernels product;
};

extern const Kernels kernels_scalar;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#endif

// The table in use: the best level that the processor and the operating system have, or the one forced by
// CLUSCOMP_SIMD / set_level. Throws std::invalid_argument for a level that does not exist here.
const Kernels& kernels();
void set_level(const char* name);
int available_levels(const Kernels** out, int capacity);  // slowest first; returns how many

}  // namespace cluscomp
