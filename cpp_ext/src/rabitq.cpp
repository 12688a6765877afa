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

}  // namespace

// A grid point x in the making: its inner product with o, and its squared length.
struct Rabitq::Direction {
  double inner, square;
};

struct Rabitq::Scratch {
  std::vector<float> o, x, centre, turned;
  std::vector<uint8_t> numbers;  // zero beyond d
  explicit Scratch(const Rabitq& form)
      : o(form.mean_.size()),
        x(form.mean_.size()),
        centre(form.mean_.size()),
        turned(form.mean_.size()),
        numbers((form.mean_.size() + 7) / 8 * 8) {}
};

Rabitq::Rabitq(const float* mean, int64_t d, int bits)
    : Rabitq(mean, d,
             {{},
              std::vector<float>(static_cast<size_t>(d), 1.0f),
              std::vector<int64_t>(static_cast<size_t>(bits), (d + 7) / 8),
              bits * ((d + 7) / 8),
              1.0f}) {}

Rabitq::Rabitq(const float* mean, int64_t d, RabitqAxes axes) : mean_(mean, mean + d), axes_(std::move(axes)) {
  int64_t at = 0;
  for (int64_t width : widths()) {
    starts_.push_back(at);
    at += width;
  }
  for (int64_t j = 0; j < d; ++j) {
    const auto some = std::count_if(widths().begin(), widths().end(), [j](int64_t width) { return j < 8 * width; });
    steps_.push_back(1 << (bits() - some));
    middles_.push_back(0.5 * ((1 << bits()) - steps_.back()));
  }
}

void Rabitq::turn(std::vector<float>& v, std::vector<float>& scratch) const {
  if (axes_.directions.empty()) return;
  const Kernels& kern = kernels();
  for (int64_t j = 0; j < d(); ++j)
    scratch[j] = kern.dot(v.data(), axes_.directions.data() + j * d(), RowType::f32, d());
  v.swap(scratch);
}

void Rabitq::turn_back(std::vector<float>& v, std::vector<float>& scratch) const {
  if (axes_.directions.empty()) return;
  std::fill(scratch.begin(), scratch.end(), 0.0f);
  for (int64_t j = 0; j < d(); ++j)
    for (int64_t i = 0; i < d(); ++i) scratch[i] += v[j] * axes_.directions[j * d() + i];
  v.swap(scratch);
}

void Rabitq::turn_query(const float* v, float* out) const {
  const Kernels& kern = kernels();
  const float* directions = axes_.directions.empty() ? nullptr : axes_.directions.data();
  for (int64_t j = 0; j < d(); ++j)
    out[j] = unit(j) * (directions ? kern.dot(v, directions + j * d(), RowType::f32, d()) : v[j]);
}

// Moves the numbers x, in at most kRounds rounds.
void Rabitq::improve(const float* o, float* x, Direction& at) const {
  for (int round = 0; round < kRounds; ++round) {
    bool moved = false;
    double inner_sq = at.inner * at.inner;
    for (int64_t j = 0; j < d(); ++j) {
      const double size = static_cast<double>(unit(j)), step = steps_[j] * size;
      const double value = static_cast<double>(x[j]), part = static_cast<double>(o[j]) * step;
      const double up = at.inner + part, down = at.inner - part, across = 2 * step * (value * size);
      const double square_up = at.square + across + step * step, square_down = at.square - across + step * step;
      const bool raises = value < middle(j) && up * up * at.square > inner_sq * square_up;
      const bool lowers = -value < middle(j) && down * down * at.square > inner_sq * square_down;
      if (!raises && !lowers) continue;
      const bool goes_up = raises && (!lowers || up * up * square_down >= down * down * square_up);
      at = goes_up ? Direction{up, square_up} : Direction{down, square_down};
      x[j] += static_cast<float>(goes_up ? steps_[j] : -steps_[j]);
      inner_sq = at.inner * at.inner;
      moved = true;
    }
    if (!moved) return;
  }
}

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
  for (int64_t j = 0; j < dims; ++j) {
    scratch.o[j] = row[j] - mean_[j];
    scratch.centre[j] = (whole[j] - row[j]) + mean_[j];
  }
  turn(scratch.o, scratch.turned);
  turn(scratch.centre, scratch.turned);
  float *o = scratch.o.data(), *x = scratch.x.data(), *point = scratch.turned.data();
  double largest = 0;  // in units
  for (int64_t j = 0; j < dims; ++j)
    if (middle(j) > 0) largest = std::max(largest, std::fabs(static_cast<double>(o[j]) / static_cast<double>(unit(j))));
  double square = 0;
  for (int64_t j = 0; j < dims; ++j) {
    const int levels = (1 << bits()) / steps_[j];
    const double value = static_cast<double>(o[j]) / static_cast<double>(unit(j));
    const double level = std::floor((value + largest) * (0.5 * levels / largest));
    // Zero first: a value that is not finite, which the gates refuse, gives NaN here, and becomes the number 0.
    const double kept = largest > 0 ? std::min(std::max(0.0, level), static_cast<double>(levels - 1)) : levels / 2;
    x[j] = static_cast<float>(kept * steps_[j] - middle(j));
    point[j] = x[j] * unit(j);
    square += static_cast<double>(point[j]) * static_cast<double>(point[j]);
  }
  Direction at{kern.dot_f64(o, point, dims), square};
  if (bits() > 1 && largest > 0) improve(o, x, at);
  for (int64_t j = 0; j < dims; ++j) {
    scratch.numbers[j] = static_cast<uint8_t>(static_cast<double>(x[j]) + middle(j));
    point[j] = x[j] * unit(j);
  }
  write_planes(scratch.numbers, code);
  const double inner = kern.dot_f64(o, point, dims), length_sq = kern.dot_f64(o, o, dims);
  double scale = 0, add = 0, error = 0;
  if (inner > 0) {
    scale = length_sq / inner;
    const double across = at.square * scale * scale - length_sq;  // |o|^2 (1 / cos^2 - 1)
    error = static_cast<double>(bar()) *
            std::sqrt(std::max(across, 0.0) / static_cast<double>(std::max<int64_t>(dims - 1, 1)));
    const double centred = scale * kern.dot_f64(scratch.centre.data(), point, dims);
    add = metric == Metric::ip ? kern.dot_f64(o, scratch.centre.data(), dims) - centred : -(length_sq + 2 * centred);
  }
  const auto scale32 = static_cast<float>(scale), add32 = static_cast<float>(add);
  const uint16_t error16 = to_bf16(static_cast<float>(error));
  uint8_t* factors = code + code_bytes();
  std::memcpy(factors, &scale32, 4);
  std::memcpy(factors + 4, &add32, 4);
  std::memcpy(factors + 8, &error16, 2);
}

void Rabitq::write_planes(const std::vector<uint8_t>& numbers, uint8_t* code) const {
  std::fill_n(code, code_bytes(), uint8_t{0});
  for (int plane = 0; plane < bits(); ++plane)
    for (int64_t j = 0; j < widths()[plane]; ++j) {
      uint64_t eight;
      std::memcpy(&eight, numbers.data() + 8 * j, 8);
      code[start(plane) + j] = gathered(eight >> (bits() - 1 - plane));
    }
}

RabitqFactors read_factors(const uint8_t* at) {
  const auto byte = [&](int64_t i) { return static_cast<uint32_t>(at[i]); };
  const auto word = [&](int64_t i) { return byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24; };
  return {std::bit_cast<float>(word(0)), std::bit_cast<float>(word(4)),
          std::bit_cast<float>(byte(8) << 16 | byte(9) << 24)};
}

void Rabitq::decode(const uint8_t* codes, int64_t n, float* out) const {
  const int64_t dims = d();
  Scratch scratch(*this);
  auto& numbers = scratch.numbers;
  for (int64_t i = 0; i < n; ++i, codes += row_bytes(), out += dims) {
    for (int64_t j = 0; j < (dims + 7) / 8; ++j) {
      uint64_t eight = 0;
      for (int plane = 0; plane < bits(); ++plane)
        eight = eight << 1 | (j < widths()[plane] ? spread(codes[start(plane) + j]) : 0);
      std::memcpy(numbers.data() + 8 * j, &eight, 8);
    }
    double square = 0;
    for (int64_t j = 0; j < dims; ++j) {
      scratch.x[j] = static_cast<float>(numbers[j] - middle(j)) * unit(j);
      square += static_cast<double>(scratch.x[j]) * static_cast<double>(scratch.x[j]);
    }
    const RabitqFactors factors = read_factors(codes + code_bytes());
    const auto scale = static_cast<double>(factors.scale), error = static_cast<double>(factors.error / bar());
    const double across = error * error * static_cast<double>(std::max<int64_t>(dims - 1, 1));
    const double length_sq = scale * scale * square;  // |o|^2 / cos^2
    const double cos_sq = length_sq > 0 ? 1 - across / length_sq : 0;
    const auto shrunk = static_cast<float>(scale * std::max(cos_sq, 1.0 / static_cast<double>(dims)));
    turn_back(scratch.x, scratch.turned);
    for (int64_t j = 0; j < dims; ++j) out[j] = mean_[j] + shrunk * scratch.x[j];
  }
}

}  // namespace cluscomp
