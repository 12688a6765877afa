// AVX-512 with VNNI: 16 lanes are one register. The integer filter multiplies 8-bit numbers: vpdpbusd adds four
// products of an unsigned byte (centroid, stored plus 128) and a signed byte (row) into 32 bits without saturation.
#include <immintrin.h>

#include "kernels_impl.h"

namespace cluscomp {
namespace {

struct Avx512 {
  static constexpr int kRows = 8, kPanels = 2, kTopRows = 4, kColumnGroups = 4, kHeldPairs = 8, kGramRows = 8,
                       kDotRows = 2, kProductRows = 12, kProductPanels = 2, kRestSums = 16;
  using F = __m512;
  using D = __m512d;
  using I = __m512i;
  using Bytes = __m512i;

  static F zero() { return _mm512_setzero_ps(); }
  static F set(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static F load_part(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static void store_part(float* p, F a, int n) { _mm512_mask_storeu_ps(p, first(n), a); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  // a + b in the lanes whose bit is set; a elsewhere.
  static F add_where(F a, F b, uint16_t bits) { return _mm512_mask_add_ps(a, bits, a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static __mmask16 greater(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
  static F blend(F a, F b, __mmask16 m) { return _mm512_mask_blend_ps(m, a, b); }
  static float reduce(F a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 v = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
  }
  static float reduce_max(F a) { return _mm512_reduce_max_ps(a); }
  static uint32_t not_less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }
  static F load_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F load_bf16(const uint16_t* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
  static F load_u8(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }

  static D zero_d() { return _mm512_setzero_pd(); }
  static D set_d(double x) { return _mm512_set1_pd(x); }
  static D load_d(const double* p) { return _mm512_loadu_pd(p); }
  static void store_d(double* p, D a) { _mm512_storeu_pd(p, a); }
  static D low(F a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
  static D high(F a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
  static F narrow(D a, D b) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)), _mm512_cvtpd_ps(b), 1);
  }
  static F pow2(I a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(a, _mm512_set1_epi32(127)), 23)); }
  static D min_d(D a, D b) { return _mm512_min_pd(a, b); }
  static D max_d(D a, D b) { return _mm512_max_pd(a, b); }
  static D add_d(D a, D b) { return _mm512_add_pd(a, b); }
  static D sub_d(D a, D b) { return _mm512_sub_pd(a, b); }
  static D div_d(D a, D b) { return _mm512_div_pd(a, b); }
  static D fma_d(D a, D b, D c) { return _mm512_fmadd_pd(a, b, c); }
  static double reduce_d(D a) {
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    const __m128d v = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)));
  }

  static I zero_i() { return _mm512_setzero_si512(); }
  static I set_i(int32_t x) { return _mm512_set1_epi32(x); }
  static I add_i(I a, I b) { return _mm512_add_epi32(a, b); }
  static I sub_i(I a, I b) { return _mm512_sub_epi32(a, b); }
  static I round_i(F a) { return _mm512_cvtps_epi32(a); }
  static F to_f(I a) { return _mm512_cvtepi32_ps(a); }
  static void store_i8(int8_t* p, I a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(a)); }
  static int32_t reduce_i(I a) { return _mm512_reduce_add_epi32(a); }

  static I load_i(const int32_t* p) { return _mm512_loadu_si512(p); }
  static void store_i(int32_t* p, I a) { _mm512_storeu_si512(p, a); }
  static I max_i(I a, I b) { return _mm512_max_epi32(a, b); }
  static I min_i(I a, I b) { return _mm512_min_epi32(a, b); }
  static I pair_i16(I low, I high) { return _mm512_mask_blend_epi16(0xaaaaaaaau, low, _mm512_slli_epi32(high, 16)); }
  // In place: GCC 12 copies every sum to another register and back around the intrinsics of VNNI.
  static void add_dot_i16(I& acc, I a, I b) { asm("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b)); }
  static I dot_i16(I acc, I a, I b) { return _mm512_dpwssd_epi32(acc, a, b); }
  static I low_byte_of(I a, I b) { return _mm512_ternarylogic_epi32(a, b, _mm512_set1_epi32(255), 0xd8); }
  // Lane r of out[i] is element i of row r.
  static void transpose4(const float* p, int64_t ld, F* out) {
    F rows[4];
    for (int i = 0; i < 4; ++i) {
      const float* at = p + i * ld;
      rows[i] = _mm512_castps128_ps512(_mm_loadu_ps(at));
      rows[i] = _mm512_insertf32x4(rows[i], _mm_loadu_ps(at + 4 * ld), 1);
      rows[i] = _mm512_insertf32x4(rows[i], _mm_loadu_ps(at + 8 * ld), 2);
      rows[i] = _mm512_insertf32x4(rows[i], _mm_loadu_ps(at + 12 * ld), 3);
    }
    const D a = _mm512_castps_pd(_mm512_unpacklo_ps(rows[0], rows[1]));
    const D b = _mm512_castps_pd(_mm512_unpacklo_ps(rows[2], rows[3]));
    const D c = _mm512_castps_pd(_mm512_unpackhi_ps(rows[0], rows[1]));
    const D d = _mm512_castps_pd(_mm512_unpackhi_ps(rows[2], rows[3]));
    out[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    out[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    out[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
    out[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
  }

  struct FineAcc {
    static constexpr int kRowMax = 127, kCentroidMax = 127, kOffset = 128, kFlush = 0;
    I sum;
    void clear() { sum = zero_i(); }
    void dot4(Bytes c, I x) {
      I next = sum;  // a member named in the assembly would stay in memory
      asm("vpdpbusd %2, %1, %0" : "+v"(next) : "v"(c), "v"(x));
      sum = next;
    }
    void flush() {}
    I total() const { return sum; }
  };
  using CoarseAcc = FineAcc;
  static constexpr int kByteZero = 0;
  static void add_dot_u8(I& acc, const uint8_t* codes, const int8_t* weights) {
    asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(_mm512_loadu_si512(codes)), "v"(_mm512_loadu_si512(weights)));
  }
  static Bytes load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static I broadcast4(const int8_t* p) {
    int32_t word;
    std::memcpy(&word, p, 4);
    return _mm512_set1_epi32(word);
  }

  // The lower half of a register is the first group, the upper half the second. 16-bit lane i of `even` is the sum of
  // row 2i of a group, of `odd` that of row 2i + 1.
  template <int Q>
  static void reach(const CodePair& codes, int64_t bytes, const uint8_t* const* tables, const uint16_t* thresholds,
                    uint64_t* masks, uint16_t* sums) {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i both[Q], odd[Q];  // sums of 16-bit pairs, and of their high bytes
    for (int q = 0; q < Q; ++q) both[q] = odd[q] = _mm512_setzero_si512();
    for (int64_t j = 0; j < bytes; ++j) {
      __builtin_prefetch(codes.ahead + j * 64);
      const __m512i code =
          _mm512_inserti64x4(_mm512_castsi256_si512(load256(codes.first + j * 32)), load256(codes.second + j * 32), 1);
      const __m512i low = _mm512_and_si512(code, nibble), high = _mm512_and_si512(_mm512_srli_epi16(code, 4), nibble);
      for (int q = 0; q < Q; ++q) {
        const uint8_t* table = tables[q] + j * 32;
        const __m512i v = _mm512_add_epi8(_mm512_shuffle_epi8(four_copies(table), low),
                                          _mm512_shuffle_epi8(four_copies(table + 16), high));
        both[q] = _mm512_add_epi16(both[q], v);
        odd[q] = _mm512_add_epi16(odd[q], _mm512_srli_epi16(v, 8));
      }
    }
    for (int q = 0; q < Q; ++q) {
      const __m512i even = _mm512_sub_epi16(both[q], _mm512_slli_epi16(odd[q], 8));
      const __m512i limit = _mm512_set1_epi16(static_cast<int16_t>(thresholds[q]));
      const uint32_t e = _mm512_cmpge_epu16_mask(even, limit), o = _mm512_cmpge_epu16_mask(odd[q], limit);
      masks[q] = 0;
      if (!(e | o)) continue;
      const uint64_t low_rows = spread(e & 0xffff) | spread(o & 0xffff) << 1;
      const uint64_t high_rows = spread(e >> 16) | spread(o >> 16) << 1;
      masks[q] = low_rows | high_rows << 32;
      uint16_t* out = sums + q * 64;
      store256(out, _mm512_castsi512_si256(even));
      store256(out + 16, _mm512_castsi512_si256(odd[q]));
      store256(out + 32, _mm512_extracti64x4_epi64(even, 1));
      store256(out + 48, _mm512_extracti64x4_epi64(odd[q], 1));
    }
  }
  static uint64_t spread(uint64_t x) {  // bit i of 16 goes to bit 2i
    x = (x | x << 8) & 0x00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f;
    x = (x | x << 2) & 0x33333333;
    return (x | x << 1) & 0x55555555;
  }
  static __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static void store256(void* p, __m256i a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
  static __m512i four_copies(const uint8_t* p) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace

const Kernels kernels_avx512 = Impl<Avx512>::table("avx512");

}  // namespace cluscomp
