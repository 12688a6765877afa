// AVX2 + FMA + F16C: 16 lanes are two registers.
//
// vpmaddubsw adds two products of an unsigned byte (centroid) and a signed byte (row) into 16 bits, which saturate at
// 32767. Fine filter: 2 * 127 * 127 = 32258, widened at every step. Coarse filter: 2 * 63 * 31 = 3906, of which 8
// reach 31248, so that widening once in 8 steps is enough.
#include <immintrin.h>

#include "kernels_impl.h"

namespace cluscomp {
namespace {

struct Avx2 {
  static constexpr int kRows = 4, kPanels = 1, kTopRows = 2, kColumnGroups = 1, kHeldPairs = 4, kGramRows = 4,
                       kDotRows = 1, kProductRows = 6, kProductPanels = 1, kRestSums = 4;
  struct F {
    __m256 lo, hi;
  };
  struct D {
    __m256d lo, hi;
  };
  struct I {
    __m256i lo, hi;
  };
  using Bytes = I;

  static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F load_part(const float* p, int n) {
    static constexpr int32_t kTaken[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    const auto mask = [&](int from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kTaken + from - n)); };
    return {_mm256_maskload_ps(p, mask(16)), n > 8 ? _mm256_maskload_ps(p + 8, mask(24)) : _mm256_setzero_ps()};
  }
  static void store(float* p, F a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
  }
  static void store_part(float* p, F a, int n) {
    alignas(32) float part[16];
    store(part, a);
    std::memcpy(p, part, static_cast<size_t>(n) * 4);
  }
  static F add(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  static F add_where(F a, F b, uint16_t bits) {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const auto taken = [&](int shifted) {
      const __m256i mine = _mm256_and_si256(_mm256_set1_epi32(shifted), lanes);
      return _mm256_castsi256_ps(_mm256_cmpeq_epi32(mine, lanes));
    };
    return {_mm256_add_ps(a.lo, _mm256_and_ps(b.lo, taken(bits))),
            _mm256_add_ps(a.hi, _mm256_and_ps(b.hi, taken(bits >> 8)))};
  }
  static F sub(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
  static F mul(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  static F div(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
  static F fma(F a, F b, F c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
  static F abs(F a) {
    const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return {_mm256_and_ps(a.lo, mask), _mm256_and_ps(a.hi, mask)};
  }
  static F max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
  static F min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
  static F greater(F a, F b) { return {_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)}; }
  static F blend(F a, F b, F m) { return {_mm256_blendv_ps(a.lo, b.lo, m.lo), _mm256_blendv_ps(a.hi, b.hi, m.hi)}; }
  static float reduce(F a) {
    const __m256 eight = _mm256_add_ps(a.lo, a.hi);
    __m128 v = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps(v, v, 1)));
  }
  static float reduce_max(F a) {
    const __m256 eight = _mm256_max_ps(a.lo, a.hi);
    __m128 v = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    return _mm_cvtss_f32(_mm_max_ss(v, _mm_shuffle_ps(v, v, 1)));
  }
  static uint32_t not_less(F a, F b) {
    const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_NLT_UQ));
    const int hi = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_NLT_UQ));
    return static_cast<uint32_t>(lo | (hi << 8));
  }
  static F load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  static __m256 widen_bf16(const uint16_t* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }
  static F load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }
  static F load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)))};
  }

  static D zero_d() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
  static D set_d(double x) { return {_mm256_set1_pd(x), _mm256_set1_pd(x)}; }
  static D load_d(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
  static void store_d(double* p, D a) {
    _mm256_storeu_pd(p, a.lo);
    _mm256_storeu_pd(p + 4, a.hi);
  }
  static D widen(__m256 v) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
  }
  static D low(F a) { return widen(a.lo); }
  static D high(F a) { return widen(a.hi); }
  static __m256 narrow(__m256d a, __m256d b) { return _mm256_set_m128(_mm256_cvtpd_ps(b), _mm256_cvtpd_ps(a)); }
  static __m256i power(__m256i a) { return _mm256_slli_epi32(_mm256_add_epi32(a, _mm256_set1_epi32(127)), 23); }
  static F narrow(D a, D b) { return {narrow(a.lo, a.hi), narrow(b.lo, b.hi)}; }
  static F pow2(I a) { return {_mm256_castsi256_ps(power(a.lo)), _mm256_castsi256_ps(power(a.hi))}; }
  static D min_d(D a, D b) { return {_mm256_min_pd(a.lo, b.lo), _mm256_min_pd(a.hi, b.hi)}; }
  static D max_d(D a, D b) { return {_mm256_max_pd(a.lo, b.lo), _mm256_max_pd(a.hi, b.hi)}; }
  static D add_d(D a, D b) { return {_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi)}; }
  static D sub_d(D a, D b) { return {_mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi)}; }
  static D div_d(D a, D b) { return {_mm256_div_pd(a.lo, b.lo), _mm256_div_pd(a.hi, b.hi)}; }
  static D fma_d(D a, D b, D c) { return {_mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi)}; }
  static double reduce_d(D a) {
    const __m256d four = _mm256_add_pd(a.lo, a.hi);
    const __m128d v = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)));
  }

  static I zero_i() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static I set_i(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static I add_i(I a, I b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
  static I sub_i(I a, I b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
  static I round_i(F a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
  static F to_f(I a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
  static void store_i8(int8_t* p, I a) {
    const __m128i lo = _mm_packs_epi32(_mm256_castsi256_si128(a.lo), _mm256_extracti128_si256(a.lo, 1));
    const __m128i hi = _mm_packs_epi32(_mm256_castsi256_si128(a.hi), _mm256_extracti128_si256(a.hi, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(lo, hi));
  }
  static int32_t reduce_i(I a) {
    const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
    __m128i v = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
  }

  static I load_i(const int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
  static void store_i(int32_t* p, I a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), a.hi);
  }
  static I max_i(I a, I b) { return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)}; }
  static I min_i(I a, I b) { return {_mm256_min_epi32(a.lo, b.lo), _mm256_min_epi32(a.hi, b.hi)}; }
  static I pair_i16(I low, I high) {
    return {_mm256_blend_epi16(low.lo, _mm256_slli_epi32(high.lo, 16), 0xaa),
            _mm256_blend_epi16(low.hi, _mm256_slli_epi32(high.hi, 16), 0xaa)};
  }
  static I dot_i16(I acc, I a, I b) {
    return {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(a.lo, b.lo)),
            _mm256_add_epi32(acc.hi, _mm256_madd_epi16(a.hi, b.hi))};
  }
  // Additions in place: GCC moves every sum to another register and back where intrinsics leave it the choice.
  static void add_dot_i16(I& acc, I a, I b) {
    asm("vpaddd %1, %0, %0" : "+x"(acc.lo) : "x"(_mm256_madd_epi16(a.lo, b.lo)));
    asm("vpaddd %1, %0, %0" : "+x"(acc.hi) : "x"(_mm256_madd_epi16(a.hi, b.hi)));
  }
  // a with the lowest byte of b.
  static I low_byte_of(I a, I b) {
    const __m256i low = _mm256_set1_epi32(255);
    return {_mm256_blendv_epi8(a.lo, b.lo, low), _mm256_blendv_epi8(a.hi, b.hi, low)};
  }
  // Lane r of out[i] is element i of row r.
  static void transpose8(const float* p, int64_t ld, __m256* out) {
    __m256 rows[4];
    for (int i = 0; i < 4; ++i)
      rows[i] =
          _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + i * ld)), _mm_loadu_ps(p + (i + 4) * ld), 1);
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(rows[0], rows[1]));
    const __m256d b = _mm256_castps_pd(_mm256_unpacklo_ps(rows[2], rows[3]));
    const __m256d c = _mm256_castps_pd(_mm256_unpackhi_ps(rows[0], rows[1]));
    const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(rows[2], rows[3]));
    out[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
    out[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    out[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
    out[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
  }
  static void transpose4(const float* p, int64_t ld, F* out) {
    __m256 lo[4], hi[4];
    transpose8(p, ld, lo);
    transpose8(p + 8 * ld, ld, hi);
    for (int i = 0; i < 4; ++i) out[i] = {lo[i], hi[i]};
  }

  static __m256i widen_pairs(__m256i sums16) { return _mm256_madd_epi16(sums16, _mm256_set1_epi16(1)); }

  struct FineAcc {
    static constexpr int kRowMax = 127, kCentroidMax = 63, kOffset = 64, kFlush = 0;
    I sum;
    void clear() { sum = zero_i(); }
    void dot4(Bytes c, __m256i x) {
      sum.lo = _mm256_add_epi32(sum.lo, widen_pairs(_mm256_maddubs_epi16(c.lo, x)));
      sum.hi = _mm256_add_epi32(sum.hi, widen_pairs(_mm256_maddubs_epi16(c.hi, x)));
    }
    void flush() {}
    I total() const { return sum; }
  };
  struct CoarseAcc {
    static constexpr int kRowMax = 31, kCentroidMax = 31, kOffset = 32, kFlush = 8;
    __m256i lo16, hi16;
    I sum;
    void clear() {
      lo16 = hi16 = _mm256_setzero_si256();
      sum = zero_i();
    }
    void dot4(Bytes c, __m256i x) {
      lo16 = _mm256_add_epi16(lo16, _mm256_maddubs_epi16(c.lo, x));
      hi16 = _mm256_add_epi16(hi16, _mm256_maddubs_epi16(c.hi, x));
    }
    void flush() {
      sum.lo = _mm256_add_epi32(sum.lo, widen_pairs(lo16));
      sum.hi = _mm256_add_epi32(sum.hi, widen_pairs(hi16));
      lo16 = hi16 = _mm256_setzero_si256();
    }
    I total() const { return sum; }
  };
  static constexpr int kByteZero = 0;
  static void add_dot_u8(I& acc, const uint8_t* codes, const int8_t* weights) {
    const Bytes c = load_bytes(codes), w = load_bytes(reinterpret_cast<const uint8_t*>(weights));
    acc.lo = _mm256_add_epi32(acc.lo, widen_pairs(_mm256_maddubs_epi16(c.lo, w.lo)));
    acc.hi = _mm256_add_epi32(acc.hi, widen_pairs(_mm256_maddubs_epi16(c.hi, w.hi)));
  }
  static Bytes load_bytes(const uint8_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
  }
  static __m256i broadcast4(const int8_t* p) {
    int32_t word;
    std::memcpy(&word, p, 4);
    return _mm256_set1_epi32(word);
  }

  // 16-bit lane i of `even` is the sum of row 2i, of `odd` that of row 2i + 1; movemask gives every lane two bits.
  static uint32_t reached(__m256i even, __m256i odd, uint16_t threshold) {
    const __m256i limit = _mm256_set1_epi16(static_cast<int16_t>(threshold));
    const __m256i e = _mm256_cmpeq_epi16(_mm256_max_epu16(even, limit), even);
    const __m256i o = _mm256_cmpeq_epi16(_mm256_max_epu16(odd, limit), odd);
    return (static_cast<uint32_t>(_mm256_movemask_epi8(e)) & 0x55555555u) |
           (static_cast<uint32_t>(_mm256_movemask_epi8(o)) & 0xaaaaaaaau);
  }
  template <int Q>
  static void reach(const CodePair& codes, int64_t bytes, const uint8_t* const* tables, const uint16_t* thresholds,
                    uint64_t* masks, uint16_t* sums) {
    for (int q = 0; q < Q; ++q) masks[q] = 0;
    reach_group<Q>(codes.first, codes.ahead, bytes, tables, thresholds, masks, sums, 0);
    if (codes.second != codes.first)
      reach_group<Q>(codes.second, codes.ahead + bytes * 32, bytes, tables, thresholds, masks, sums, 32);
  }
  template <int Q>
  static void reach_group(const uint8_t* group, const uint8_t* ahead, int64_t bytes, const uint8_t* const* tables,
                          const uint16_t* thresholds, uint64_t* masks, uint16_t* sums, int at) {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i both[Q], odd[Q];  // sums of 16-bit pairs, and of their high bytes
    for (int q = 0; q < Q; ++q) both[q] = odd[q] = _mm256_setzero_si256();
    for (int64_t j = 0; j < bytes; ++j) {
      __builtin_prefetch(ahead + j * 32);
      const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(group + j * 32));
      const __m256i low = _mm256_and_si256(code, nibble), high = _mm256_and_si256(_mm256_srli_epi16(code, 4), nibble);
      for (int q = 0; q < Q; ++q) {
        const uint8_t* table = tables[q] + j * 32;
        const __m256i v = _mm256_add_epi8(_mm256_shuffle_epi8(two_copies(table), low),
                                          _mm256_shuffle_epi8(two_copies(table + 16), high));
        both[q] = _mm256_add_epi16(both[q], v);
        odd[q] = _mm256_add_epi16(odd[q], _mm256_srli_epi16(v, 8));
      }
    }
    for (int q = 0; q < Q; ++q) {
      const __m256i even = _mm256_sub_epi16(both[q], _mm256_slli_epi16(odd[q], 8));
      masks[q] |= static_cast<uint64_t>(reached(even, odd[q], thresholds[q])) << at;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + q * 64 + at), even);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + q * 64 + at + 16), odd[q]);
    }
  }
  static __m256i two_copies(const uint8_t* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace

const Kernels kernels_avx2 = Impl<Avx2>::table("avx2");

}  // namespace cluscomp
