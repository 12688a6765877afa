// ARMv8.2 with dot products and half precision: 16 lanes are four registers. The integer filter multiplies signed
// bytes (vdotq_s32), so centroids are stored without an offset; the stored prescreen's offset of 64 is signed as it is.
#include <arm_neon.h>

#include "kernels_impl.h"

namespace cluscomp {
namespace {

struct Neon {
  static constexpr int kRows = 4, kPanels = 1, kTopRows = 1, kColumnGroups = 1, kHeldPairs = 4, kGramRows = 4,
                       kDotRows = 1, kProductRows = 6, kProductPanels = 1, kRestSums = 4;
  struct F {
    float32x4_t v[4];
  };
  struct M {
    uint32x4_t v[4];
  };
  struct D {
    float64x2_t v[4];
  };
  struct I {
    int32x4_t v[4];
  };
  struct Bytes {
    int8x16_t v[4];
  };

  template <class T, class Fn>
  static T each(Fn fn) {
    T out;
    for (int i = 0; i < 4; ++i) out.v[i] = fn(i);
    return out;
  }

  static F set(float x) {
    return each<F>([=](int) { return vdupq_n_f32(x); });
  }
  static F zero() { return set(0.0f); }
  static F load(const float* p) {
    return each<F>([=](int i) { return vld1q_f32(p + 4 * i); });
  }
  static F load_part(const float* p, int n) {
    float part[16] = {};
    std::memcpy(part, p, static_cast<size_t>(n) * 4);
    return load(part);
  }
  static void store(float* p, const F& a) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
  }
  static void store_part(float* p, const F& a, int n) {
    float part[16];
    store(part, a);
    std::memcpy(p, part, static_cast<size_t>(n) * 4);
  }
  static F add(const F& a, const F& b) {
    return each<F>([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
  }
  static F add_where(const F& a, const F& b, uint16_t bits) {
    const uint32x4_t lanes = {1, 2, 4, 8};
    return each<F>([&](int i) {
      const uint32x4_t taken = vtstq_u32(vdupq_n_u32(static_cast<uint32_t>(bits) >> 4 * i), lanes);
      return vaddq_f32(a.v[i], vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(b.v[i]), taken)));
    });
  }
  static F sub(const F& a, const F& b) {
    return each<F>([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
  }
  static F mul(const F& a, const F& b) {
    return each<F>([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
  }
  static F div(const F& a, const F& b) {
    return each<F>([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
  }
  static F fma(const F& a, const F& b, const F& c) {
    return each<F>([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
  }
  static F abs(const F& a) {
    return each<F>([&](int i) { return vabsq_f32(a.v[i]); });
  }
  // By comparison, as the other levels do: the second operand is the answer where one is NaN.
  static F max(const F& a, const F& b) {
    return each<F>([&](int i) { return vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
  }
  static F min(const F& a, const F& b) {
    return each<F>([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
  }
  static M greater(const F& a, const F& b) {
    return each<M>([&](int i) { return vcgtq_f32(a.v[i], b.v[i]); });
  }
  static F blend(const F& a, const F& b, const M& m) {
    return each<F>([&](int i) { return vbslq_f32(m.v[i], b.v[i], a.v[i]); });
  }
  static float reduce(const F& a) {
    const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static float reduce_max(const F& a) {
    float values[16];
    store(values, a);
    float best = values[0];
    for (float value : values) best = value > best ? value : best;
    return best;
  }
  static uint32_t not_less(const F& a, const F& b) {
    const uint32x4_t bit = {1, 2, 4, 8};
    uint32_t mask = 0;
    for (int i = 0; i < 4; ++i) mask |= vaddvq_u32(vandq_u32(vmvnq_u32(vcltq_f32(a.v[i], b.v[i])), bit)) << (4 * i);
    return mask;
  }
  static F load_f16(const uint16_t* p) {
    return each<F>([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
  }
  static F load_bf16(const uint16_t* p) {
    return each<F>([=](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
  }
  static F load_u8(const uint8_t* p) {
    const uint8x16_t bytes = vld1q_u8(p);
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_u8(vget_high_u8(bytes));
    return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
             vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
  }

  static D set_d(double x) {
    return each<D>([=](int) { return vdupq_n_f64(x); });
  }
  static D zero_d() { return set_d(0.0); }
  static D load_d(const double* p) {
    return each<D>([=](int i) { return vld1q_f64(p + 2 * i); });
  }
  static void store_d(double* p, const D& a) {
    for (int i = 0; i < 4; ++i) vst1q_f64(p + 2 * i, a.v[i]);
  }
  static D widen(float32x4_t a, float32x4_t b) {
    return {{vcvt_f64_f32(vget_low_f32(a)), vcvt_high_f64_f32(a), vcvt_f64_f32(vget_low_f32(b)), vcvt_high_f64_f32(b)}};
  }
  static D low(const F& a) { return widen(a.v[0], a.v[1]); }
  static D high(const F& a) { return widen(a.v[2], a.v[3]); }
  static F narrow(const D& a, const D& b) {
    return each<F>([&](int i) {
      const D& half = i < 2 ? a : b;
      return vcvt_high_f32_f64(vcvt_f32_f64(half.v[i % 2 * 2]), half.v[i % 2 * 2 + 1]);
    });
  }
  static F pow2(const I& a) {
    return each<F>([&](int i) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(a.v[i], vdupq_n_s32(127)), 23)); });
  }
  static D min_d(const D& a, const D& b) {
    return each<D>([&](int i) { return vbslq_f64(vcltq_f64(a.v[i], b.v[i]), a.v[i], b.v[i]); });
  }
  static D max_d(const D& a, const D& b) {
    return each<D>([&](int i) { return vbslq_f64(vcgtq_f64(a.v[i], b.v[i]), a.v[i], b.v[i]); });
  }
  static D add_d(const D& a, const D& b) {
    return each<D>([&](int i) { return vaddq_f64(a.v[i], b.v[i]); });
  }
  static D sub_d(const D& a, const D& b) {
    return each<D>([&](int i) { return vsubq_f64(a.v[i], b.v[i]); });
  }
  static D div_d(const D& a, const D& b) {
    return each<D>([&](int i) { return vdivq_f64(a.v[i], b.v[i]); });
  }
  static D fma_d(const D& a, const D& b, const D& c) {
    return each<D>([&](int i) { return vfmaq_f64(c.v[i], a.v[i], b.v[i]); });
  }
  static double reduce_d(const D& a) {
    const float64x2_t two = vaddq_f64(vaddq_f64(a.v[0], a.v[2]), vaddq_f64(a.v[1], a.v[3]));
    return vgetq_lane_f64(two, 0) + vgetq_lane_f64(two, 1);
  }

  static I set_i(int32_t x) {
    return each<I>([=](int) { return vdupq_n_s32(x); });
  }
  static I zero_i() { return set_i(0); }
  static I add_i(const I& a, const I& b) {
    return each<I>([&](int i) { return vaddq_s32(a.v[i], b.v[i]); });
  }
  static I sub_i(const I& a, const I& b) {
    return each<I>([&](int i) { return vsubq_s32(a.v[i], b.v[i]); });
  }
  static I round_i(const F& a) {
    return each<I>([&](int i) { return vcvtnq_s32_f32(a.v[i]); });
  }
  static F to_f(const I& a) {
    return each<F>([&](int i) { return vcvtq_f32_s32(a.v[i]); });
  }
  static void store_i8(int8_t* p, const I& a) {
    const int16x8_t low = vcombine_s16(vqmovn_s32(a.v[0]), vqmovn_s32(a.v[1]));
    const int16x8_t high = vcombine_s16(vqmovn_s32(a.v[2]), vqmovn_s32(a.v[3]));
    vst1q_s8(p, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
  }
  static int32_t reduce_i(const I& a) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
  }

  static I load_i(const int32_t* p) {
    return each<I>([=](int i) { return vld1q_s32(p + 4 * i); });
  }
  static void store_i(int32_t* p, const I& a) {
    for (int i = 0; i < 4; ++i) vst1q_s32(p + 4 * i, a.v[i]);
  }
  static I max_i(const I& a, const I& b) {
    return each<I>([&](int i) { return vmaxq_s32(a.v[i], b.v[i]); });
  }
  static I min_i(const I& a, const I& b) {
    return each<I>([&](int i) { return vminq_s32(a.v[i], b.v[i]); });
  }
  static I pair_i16(const I& low, const I& high) {
    return each<I>([&](int i) { return vsliq_n_s32(low.v[i], high.v[i], 16); });
  }
  static void add_dot_i16(I& acc, const I& a, const I& b) { acc = dot_i16(acc, a, b); }
  static I dot_i16(const I& acc, const I& a, const I& b) {
    return each<I>([&](int i) {
      const int16x8_t x = vreinterpretq_s16_s32(a.v[i]), y = vreinterpretq_s16_s32(b.v[i]);
      const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
      return vaddq_s32(acc.v[i], vpaddq_s32(low, high));
    });
  }
  static I low_byte_of(const I& a, const I& b) {
    return each<I>([&](int i) { return vbslq_s32(vdupq_n_u32(255), b.v[i], a.v[i]); });
  }
  static void transpose4(const float* p, int64_t ld, F* out) {
    float part[4][16];
    for (int r = 0; r < 16; ++r)
      for (int j = 0; j < 4; ++j) part[j][r] = p[r * ld + j];
    for (int j = 0; j < 4; ++j) out[j] = load(part[j]);
  }

  struct FineAcc {
    static constexpr int kRowMax = 127, kCentroidMax = 127, kOffset = 0, kFlush = 0;
    I sum;
    void clear() { sum = zero_i(); }
    void dot4(const Bytes& c, int8x16_t x) {
      for (int i = 0; i < 4; ++i) sum.v[i] = vdotq_s32(sum.v[i], c.v[i], x);
    }
    void flush() {}
    I total() const { return sum; }
  };
  using CoarseAcc = FineAcc;
  static constexpr int kByteZero = 128;  // dot products take signed bytes on both sides
  static void add_dot_u8(I& acc, const uint8_t* codes, const int8_t* weights) {
    for (int i = 0; i < 4; ++i) {
      const int8x16_t code = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + 16 * i), vdupq_n_u8(128)));
      acc.v[i] = vdotq_s32(acc.v[i], code, vld1q_s8(weights + 16 * i));
    }
  }
  static Bytes load_bytes(const uint8_t* p) {
    return each<Bytes>([=](int i) { return vreinterpretq_s8_u8(vld1q_u8(p + 16 * i)); });
  }
  static int8x16_t broadcast4(const int8_t* p) {
    int32_t word;
    std::memcpy(&word, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(word));
  }

  template <int Q>
  static void reach(const CodePair& codes, int64_t bytes, const uint8_t* const* tables, const uint16_t* thresholds,
                    uint64_t* masks, uint16_t* sums) {
    for (int q = 0; q < Q; ++q) {
      masks[q] = reach_group(codes.first, bytes, tables[q], thresholds[q], sums + q * 64);
      if (codes.second != codes.first)
        masks[q] |= reach_group(codes.second, bytes, tables[q], thresholds[q], sums + q * 64 + 32) << 32;
    }
  }
  static uint64_t reach_group(const uint8_t* group, int64_t bytes, const uint8_t* tables, uint16_t threshold,
                              uint16_t* sums) {
    uint16x8_t even[2], odd[2];  // of 16 rows each
    for (int half = 0; half < 2; ++half) even[half] = odd[half] = vdupq_n_u16(0);
    for (int64_t j = 0; j < bytes; ++j) {
      const uint8x16_t low = vld1q_u8(tables + j * 32), high = vld1q_u8(tables + j * 32 + 16);
      for (int half = 0; half < 2; ++half) {
        const uint8x16_t code = vld1q_u8(group + j * 32 + half * 16);
        const uint8x16_t v =
            vaddq_u8(vqtbl1q_u8(low, vandq_u8(code, vdupq_n_u8(15))), vqtbl1q_u8(high, vshrq_n_u8(code, 4)));
        const uint16x8_t pair = vreinterpretq_u16_u8(v);
        even[half] = vaddq_u16(even[half], vandq_u16(pair, vdupq_n_u16(255)));
        odd[half] = vsraq_n_u16(odd[half], pair, 8);
      }
    }
    const uint16x8_t even_bit = {1, 4, 16, 64, 256, 1024, 4096, 16384};
    const uint16x8_t limit = vdupq_n_u16(threshold), odd_bit = vshlq_n_u16(even_bit, 1);
    uint64_t mask = 0;
    for (int half = 0; half < 2; ++half) {
      vst1q_u16(sums + half * 8, even[half]);
      vst1q_u16(sums + 16 + half * 8, odd[half]);
      const uint16x8_t bits =
          vorrq_u16(vandq_u16(vcgeq_u16(even[half], limit), even_bit), vandq_u16(vcgeq_u16(odd[half], limit), odd_bit));
      mask |= static_cast<uint64_t>(vaddvq_u16(bits)) << (16 * half);
    }
    return mask;
  }
};

}  // namespace

const Kernels kernels_neon = Impl<Neon>::table("neon");

}  // namespace cluscomp
