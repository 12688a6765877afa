// Codes are found by the coordinate descent of SAQ (arXiv 2509.12086, "CAQ"): from the symmetric grid on, each number
// moves by one step where that raises the cosine, in kRounds rounds; of two equal gains the step up is made. A number
// costs O(1) a round, where the enumeration of the RaBitQ papers sorts 2^bits d events.
#include "cluscomp/rabitq.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int kRounds = 6;
constexpr int64_t kRowsAtOnce = 32;

uint16_t to_bf16(float value) {  // to the nearest, ties to even; value is finite or infinite
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// The eight lowest bits of eight bytes, gathered in one; and the other way round.
uint8_t gathered(uint64_t bytes) {
  return static_cast<uint8_t>((bytes & 0x0101010101010101u) * 0x0102040810204080u >> 56);
}
uint64_t spread(uint8_t byte) {
  const uint64_t bits = (byte * uint64_t{0x0101010101010101}) & 0x8040201008040201u;
  return (bits + 0x7f7f7f7f7f7f7f7fu) >> 7 & 0x0101010101010101u;
}

// A grid point x in the making: its inner product with o, and its squared length.
struct Direction {
  double inner, square;
};

// The numbers of x after at most kRounds rounds of moves.
void improve(const float* o, int64_t d, double largest, float* x, Direction& at) {
  for (int round = 0; round < kRounds; ++round) {
    bool moved = false;
    double inner_sq = at.inner * at.inner;
    for (int64_t j = 0; j < d; ++j) {
      const auto value = static_cast<double>(x[j]), part = static_cast<double>(o[j]);
      const double up = at.inner + part, down = at.inner - part;
      const double square_up = at.square + 2 * value + 1, square_down = at.square - 2 * value + 1;
      const bool raises = value < largest && up * up * at.square > inner_sq * square_up;
      const bool lowers = -value < largest && down * down * at.square > inner_sq * square_down;
      if (!raises && !lowers) continue;
      const bool goes_up = raises && (!lowers || up * up * square_down >= down * down * square_up);
      at = goes_up ? Direction{up, square_up} : Direction{down, square_down};
      x[j] += goes_up ? 1.0f : -1.0f;
      inner_sq = at.inner * at.inner;
      moved = true;
    }
    if (!moved) return;
  }
}

}  // namespace

struct Rabitq::Scratch {
  std::vector<float> o, x, centre;
  std::vector<uint8_t> numbers;  // zero beyond d
  explicit Scratch(const Rabitq& form)
      : o(form.mean_.size()),
        x(form.mean_.size()),
        centre(form.mean_.size()),
        numbers(static_cast<size_t>(8 * form.plane_bytes())) {}
};

void Rabitq::encode(const float* x, const float* whole, int64_t n, Metric metric, uint8_t* codes) const {
  parallel_for(n, kRowsAtOnce, [&](int64_t begin, int64_t end) {
    Scratch scratch(*this);
    for (int64_t i = begin; i < end; ++i)
      encode_row(x + i * d(), whole + i * d(), metric, scratch, codes + i * row_bytes());
  });
}

void Rabitq::encode_row(const float* row, const float* whole, Metric metric, Scratch& scratch, uint8_t* code) const {
  const Kernels& kern = kernels();
  const int64_t dims = d();
  float *o = scratch.o.data(), *x = scratch.x.data(), *centre = scratch.centre.data();
  float largest = 0;
  for (int64_t j = 0; j < dims; ++j) {
    o[j] = row[j] - mean_[j];
    centre[j] = (whole[j] - row[j]) + mean_[j];
    largest = std::max(largest, std::fabs(o[j]));
  }
  const int most = (1 << bits_) - 1;
  const double inverse = largest > 0 ? 0.5 * (most + 1) / static_cast<double>(largest) : 0;
  double square = 0;
  for (int64_t j = 0; j < dims; ++j) {
    const double step = std::floor((static_cast<double>(o[j]) + static_cast<double>(largest)) * inverse);
    // Zero first: a value that is not finite, which the gates refuse, gives NaN here, and becomes the number 0.
    x[j] = static_cast<float>(std::min(std::max(0.0, step), static_cast<double>(most))) - middle();
    if (!(largest > 0)) x[j] = 0.5f;
    square += static_cast<double>(x[j]) * static_cast<double>(x[j]);
  }
  Direction at{kern.dot_f64(o, x, dims), square};
  if (bits_ > 1 && largest > 0) improve(o, dims, static_cast<double>(middle()), x, at);
  for (int64_t j = 0; j < dims; ++j) scratch.numbers[j] = static_cast<uint8_t>(x[j] + middle());
  for (int64_t j = 0; j < plane_bytes(); ++j) {
    uint64_t eight;
    std::memcpy(&eight, scratch.numbers.data() + 8 * j, 8);
    for (int plane = 0; plane < bits_; ++plane)
      code[plane * plane_bytes() + j] = gathered(eight >> (bits_ - 1 - plane));
  }
  const double inner = kern.dot_f64(o, x, dims), length_sq = kern.dot_f64(o, o, dims);
  double scale = 0, add = 0, error = 0;
  if (inner > 0) {
    scale = length_sq / inner;
    const double across = at.square * scale * scale - length_sq;  // |o|^2 (1 / cos^2 - 1)
    error = std::sqrt(std::max(across, 0.0) / static_cast<double>(std::max<int64_t>(dims - 1, 1)));
    const double centred = scale * kern.dot_f64(centre, x, dims);
    add = metric == Metric::ip ? kern.dot_f64(o, centre, dims) - centred : -(length_sq + 2 * centred);
  }
  const auto scale32 = static_cast<float>(scale), add32 = static_cast<float>(add);
  const uint16_t error16 = to_bf16(static_cast<float>(error));
  uint8_t* factors = code + code_bytes();
  std::memcpy(factors, &scale32, 4);
  std::memcpy(factors + 4, &add32, 4);
  std::memcpy(factors + 8, &error16, 2);
}

RabitqFactors read_factors(const uint8_t* at) {
  const auto byte = [&](int64_t i) { return static_cast<uint32_t>(at[i]); };
  const auto word = [&](int64_t i) { return byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24; };
  return {std::bit_cast<float>(word(0)), std::bit_cast<float>(word(4)),
          std::bit_cast<float>(byte(8) << 16 | byte(9) << 24)};
}

void Rabitq::decode(const uint8_t* codes, int64_t n, float* out) const {
  const int64_t dims = d(), bytes = plane_bytes();
  std::vector<uint8_t> numbers(static_cast<size_t>(8 * bytes));
  for (int64_t i = 0; i < n; ++i, codes += row_bytes(), out += dims) {
    for (int64_t j = 0; j < bytes; ++j) {
      uint64_t eight = 0;
      for (int plane = 0; plane < bits_; ++plane) eight = eight << 1 | spread(codes[plane * bytes + j]);
      std::memcpy(numbers.data() + 8 * j, &eight, 8);
    }
    int64_t square4 = 0;  // 4 |x|^2
    for (int64_t j = 0; j < dims; ++j) {
      const int64_t twice = 2 * numbers[j] - ((1 << bits_) - 1);
      square4 += twice * twice;
    }
    const RabitqFactors factors = read_factors(codes + code_bytes());
    const auto scale = static_cast<double>(factors.scale), error = static_cast<double>(factors.error);
    const double across = error * error * static_cast<double>(std::max<int64_t>(dims - 1, 1));
    const double length_sq = scale * scale * 0.25 * static_cast<double>(square4);  // |o|^2 / cos^2
    const double cos_sq = length_sq > 0 ? 1 - across / length_sq : 0;
    const auto shrunk = static_cast<float>(scale * std::max(cos_sq, 1.0 / static_cast<double>(dims)));
    for (int64_t j = 0; j < dims; ++j) out[j] = mean_[j] + shrunk * (static_cast<float>(numbers[j]) - middle());
  }
}

}  // namespace cluscomp
