// The portable level: arrays of 16 numbers and plain loops. Slow by design where the processor has no fused
// multiply-add, and equal bit for bit to the other levels.
#include <algorithm>

#include "kernels_impl.h"

namespace cluscomp {
namespace {

struct Scalar {
  static constexpr int kRows = 2, kPanels = 1, kTopRows = 1, kColumnGroups = 1, kHeldPairs = 4, kGramRows = 4,
                       kDotRows = 1, kProductRows = 4, kProductPanels = 1, kRestSums = 1;
  struct F {
    float v[16];
  };
  struct M {
    bool v[16];
  };
  struct D {
    double v[8];
  };
  struct I {
    int32_t v[16];
  };
  struct Bytes {
    uint8_t v[64];
  };
  struct Four {
    int8_t v[4];
  };

  template <class T, class Fn>
  static T each(Fn fn) {
    T out;
    int i = 0;
    for (auto& value : out.v) value = fn(i++);
    return out;
  }

  static F zero() { return {}; }
  static F set(float x) {
    return each<F>([=](int) { return x; });
  }
  static F load(const float* p) {
    return each<F>([=](int i) { return p[i]; });
  }
  static F load_part(const float* p, int n) {
    return each<F>([=](int i) { return i < n ? p[i] : 0.0f; });
  }
  static void store(float* p, const F& a) { std::copy_n(a.v, 16, p); }
  static void store_part(float* p, const F& a, int n) { std::copy_n(a.v, n, p); }
  static F add(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F add_where(const F& a, const F& b, uint16_t bits) {
    return each<F>([&](int i) { return bits >> i & 1 ? a.v[i] + b.v[i] : a.v[i]; });
  }
  static F sub(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static F mul(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F div(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] / b.v[i]; });
  }
  static F fma(const F& a, const F& b, const F& c) {
    return each<F>([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
  }
  static F abs(const F& a) {
    return each<F>([&](int i) { return std::fabs(a.v[i]); });
  }
  static F max(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F min(const F& a, const F& b) {
    return each<F>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static M greater(const F& a, const F& b) {
    return each<M>([&](int i) { return a.v[i] > b.v[i]; });
  }
  static F blend(const F& a, const F& b, const M& m) {
    return each<F>([&](int i) { return m.v[i] ? b.v[i] : a.v[i]; });
  }
  static float reduce(F a) {
    for (int width = 8; width; width /= 2)
      for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
    return a.v[0];
  }
  static float reduce_max(const F& a) { return *std::max_element(a.v, a.v + 16); }
  static uint32_t not_less(const F& a, const F& b) {
    uint32_t mask = 0;
    for (int i = 0; i < 16; ++i) mask |= static_cast<uint32_t>(!(a.v[i] < b.v[i])) << i;
    return mask;
  }
  static float half_to_float(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
    if (exponent == 0) {  // zero and subnormal: value = mantissa * 2^-24
      const float value = std::ldexp(static_cast<float>(mantissa), -24);
      return sign ? -value : value;
    }
    const uint32_t bits =
        exponent == 31 ? sign | 0x7f800000u | (mantissa << 13) : sign | ((exponent + 112) << 23) | (mantissa << 13);
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  static F load_f16(const uint16_t* p) {
    return each<F>([=](int i) { return half_to_float(p[i]); });
  }
  static F load_bf16(const uint16_t* p) {
    return each<F>([=](int i) {
      const uint32_t bits = static_cast<uint32_t>(p[i]) << 16;
      float value;
      std::memcpy(&value, &bits, 4);
      return value;
    });
  }
  static F load_u8(const uint8_t* p) {
    return each<F>([=](int i) { return static_cast<float>(p[i]); });
  }

  static D zero_d() { return {}; }
  static D set_d(double x) {
    return each<D>([=](int) { return x; });
  }
  static D load_d(const double* p) {
    return each<D>([=](int i) { return p[i]; });
  }
  static void store_d(double* p, const D& a) { std::copy_n(a.v, 8, p); }
  static D low(const F& a) {
    return each<D>([&](int i) { return static_cast<double>(a.v[i]); });
  }
  static D high(const F& a) {
    return each<D>([&](int i) { return static_cast<double>(a.v[i + 8]); });
  }
  static F narrow(const D& a, const D& b) {
    return each<F>([&](int i) { return static_cast<float>(i < 8 ? a.v[i] : b.v[i - 8]); });
  }
  static F pow2(const I& a) {
    return each<F>([&](int i) {
      const uint32_t bits = static_cast<uint32_t>(a.v[i] + 127) << 23;
      float value;
      std::memcpy(&value, &bits, 4);
      return value;
    });
  }
  static D min_d(const D& a, const D& b) {
    return each<D>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static D max_d(const D& a, const D& b) {
    return each<D>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static D add_d(const D& a, const D& b) {
    return each<D>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static D sub_d(const D& a, const D& b) {
    return each<D>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static D div_d(const D& a, const D& b) {
    return each<D>([&](int i) { return a.v[i] / b.v[i]; });
  }
  static D fma_d(const D& a, const D& b, const D& c) {
    return each<D>([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
  }
  static double reduce_d(D a) {
    for (int width = 4; width; width /= 2)
      for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
    return a.v[0];
  }

  // What 32 bits do not hold, or is no number, is the smallest one, as in the instructions of x86.
  static int32_t whole(float x) {
    const bool fits = x >= -0x1p31f && x < 0x1p31f;
    return fits ? static_cast<int32_t>(std::nearbyint(x)) : std::numeric_limits<int32_t>::min();
  }
  static I zero_i() { return {}; }
  static I set_i(int32_t x) {
    return each<I>([=](int) { return x; });
  }
  static I add_i(const I& a, const I& b) {
    return each<I>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static I sub_i(const I& a, const I& b) {
    return each<I>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static I round_i(const F& a) {
    return each<I>([&](int i) { return whole(a.v[i]); });
  }
  static F to_f(const I& a) {
    return each<F>([&](int i) { return static_cast<float>(a.v[i]); });
  }
  static void store_i8(int8_t* p, const I& a) {
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
  }
  static int32_t reduce_i(const I& a) {
    int32_t sum = 0;
    for (int32_t value : a.v) sum += value;
    return sum;
  }

  static I load_i(const int32_t* p) {
    return each<I>([=](int i) { return p[i]; });
  }
  static void store_i(int32_t* p, const I& a) { std::copy_n(a.v, 16, p); }
  static I max_i(const I& a, const I& b) {
    return each<I>([&](int i) { return std::max(a.v[i], b.v[i]); });
  }
  static I min_i(const I& a, const I& b) {
    return each<I>([&](int i) { return std::min(a.v[i], b.v[i]); });
  }
  static I pair_i16(const I& low, const I& high) {
    return each<I>([&](int i) {
      return static_cast<int32_t>((static_cast<uint32_t>(low.v[i]) & 0xffffu) | static_cast<uint32_t>(high.v[i]) << 16);
    });
  }
  static void add_dot_i16(I& acc, const I& a, const I& b) { acc = dot_i16(acc, a, b); }
  static I dot_i16(const I& acc, const I& a, const I& b) {
    return each<I>([&](int i) {
      return acc.v[i] + static_cast<int16_t>(a.v[i]) * static_cast<int16_t>(b.v[i]) + (a.v[i] >> 16) * (b.v[i] >> 16);
    });
  }
  static I low_byte_of(const I& a, const I& b) {
    return each<I>([&](int i) { return (a.v[i] & ~255) | (b.v[i] & 255); });
  }
  static void transpose4(const float* p, int64_t ld, F* out) {
    for (int j = 0; j < 4; ++j) out[j] = each<F>([=](int i) { return p[i * ld + j]; });
  }

  struct FineAcc {
    static constexpr int kRowMax = 127, kCentroidMax = 127, kOffset = 128, kFlush = 0;
    I sum;
    void clear() { sum = zero_i(); }
    void dot4(const Bytes& c, const Four& x) {
      for (int lane = 0; lane < 16; ++lane)
        for (int i = 0; i < 4; ++i) sum.v[lane] += c.v[lane * 4 + i] * x.v[i];
    }
    void flush() {}
    I total() const { return sum; }
  };
  using CoarseAcc = FineAcc;
  static constexpr int kByteZero = 0;
  static void add_dot_u8(I& acc, const uint8_t* codes, const int8_t* weights) {
    for (int i = 0; i < 64; ++i) acc.v[i / 4] += codes[i] * weights[i];
  }
  static Bytes load_bytes(const uint8_t* p) {
    Bytes out;
    std::memcpy(out.v, p, 64);
    return out;
  }
  static Four broadcast4(const int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }

  static uint32_t reach_group(const uint8_t* codes, int64_t bytes, const uint8_t* table, uint16_t threshold,
                              uint16_t* sums) {
    uint32_t mask = 0;
    for (int r = 0; r < 32; ++r) {
      int sum = 0;
      for (int64_t j = 0; j < bytes; ++j) {
        const uint8_t code = codes[j * 32 + r];
        sum += table[j * 32 + (code & 15)] + table[j * 32 + 16 + (code >> 4)];
      }
      sums[sum_slot(r)] = static_cast<uint16_t>(sum);
      mask |= static_cast<uint32_t>(sum >= threshold) << r;
    }
    return mask;
  }
  template <int Q>
  static void reach(const CodePair& codes, int64_t bytes, const uint8_t* const* tables, const uint16_t* thresholds,
                    uint64_t* masks, uint16_t* sums) {
    for (int q = 0; q < Q; ++q) {
      const uint32_t first = reach_group(codes.first, bytes, tables[q], thresholds[q], sums + q * 64);
      const uint32_t second = reach_group(codes.second, bytes, tables[q], thresholds[q], sums + q * 64 + 32);
      masks[q] = uint64_t{second} << 32 | first;
    }
  }
};

}  // namespace

const Kernels kernels_scalar = Impl<Scalar>::table("scalar");

}  // namespace cluscomp
