#include "cluscomp/support.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "cluscomp/kernels.h"
#include "cluscomp/pack.h"
#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kLong = 256;  // rows whose products with others take a moment

// Rows of one document as float32, padded with zeros to (n rounded up to 16, ld).
void load_padded(const RowsView& x, int64_t begin, int64_t end, int64_t ld, std::vector<float>& out) {
  out.assign(static_cast<size_t>(round_up(end - begin, kLanes) * ld), 0.0f);
  load_rows(x, begin, end, out.data(), ld);
}

// The lowest of the numbers that threads find.
class Lowest {
 public:
  void offer(int64_t value) {
    int64_t seen = value_.load();
    while (value < seen && !value_.compare_exchange_weak(seen, value)) {}
  }
  int64_t found() const { return value_.load() == kNone ? -1 : value_.load(); }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> value_{kNone};
};

}  // namespace

// What one document needs while it is done; kept by a thread between documents.
struct SupportSample::Document {
  std::vector<float> rows;  // as load_padded writes them
  RoundedRows rounded;
  std::vector<float> best;  // (n rounded up to 16): largest product of every q
  std::vector<int32_t> position;

  std::vector<float> start, kept, target, residual;
  std::vector<int32_t> members, firsts;       // q's by vector, and where those of each vector begin
  std::vector<float> rest, direction, image;  // of conjugate gradients

  static Document& of_thread() {
    thread_local Document document;
    return document;
  }
  bool assign(const SupportSample& sample, const Kernels& kern);
  void group(int64_t n, int64_t k);
  void aim(const SupportSample& sample, const float* values, double shift, double share);
  double objective(const SupportSample& sample, double ridge) const;
  void move(const SupportSample& sample, const Kernels& kern, int64_t j, const SupportFit& how);
  bool fit(const SupportSample& sample, int64_t fixed, const float* values, double shift, const SupportFit& how,
           double* objectives);
};

// False where a row is too long.
bool SupportSample::Document::assign(const SupportSample& sample, const Kernels& kern) {
  if (!rounded.round(kern, rows.data(), rounded.n, sample.d_, sample.ld_)) return false;
  best.resize(static_cast<size_t>(sample.lanes_.groups() * kLanes));
  position.resize(best.size());
  for (int64_t g = 0; g < sample.lanes_.groups(); ++g) {
    if (rounded.n > kLong) check_interrupt();
    kern.support.largest_i16(rounded.values.data(), rounded.n, sample.lanes_.group(g), rounded.pairs,
                             best.data() + g * kLanes, position.data() + g * kLanes);
  }
  const float scale = 1 / rounded.scale / sample.lanes_.scale;
  for (float& value : best) value *= scale;
  return true;
}

void SupportSample::Document::group(int64_t n, int64_t k) {
  firsts.assign(static_cast<size_t>(k + 1), 0);
  for (int64_t q = 0; q < n; ++q) ++firsts[position[q] + 1];
  for (int64_t j = 0; j < k; ++j) firsts[j + 1] += firsts[j];
  members.resize(static_cast<size_t>(n));
  std::vector<int32_t> next(firsts.begin(), firsts.end() - 1);
  for (int64_t q = 0; q < n; ++q) members[next[position[q]]++] = static_cast<int32_t>(q);
}

// `best` holds the largest products of the vectors at the start.
void SupportSample::Document::aim(const SupportSample& sample, const float* values, double shift, double share) {
  target.assign(values, values + sample.n_);
  if (share == 0) return;
  for (int64_t q = 0; q < sample.n_; ++q) {
    const double mixed = (1 - share) * static_cast<double>(values[q]) + share * (static_cast<double>(best[q]) + shift);
    target[q] = static_cast<float>(mixed);
  }
}

double SupportSample::Document::objective(const SupportSample& sample, double ridge) const {
  double errors = 0, moved = 0;
  for (int64_t q = 0; q < sample.n_; ++q) {
    const double error = static_cast<double>(best[q]) - static_cast<double>(target[q]);
    errors += error * error;
  }
  for (int64_t i = 0; i < rounded.n * sample.ld_; ++i) {
    const double step = static_cast<double>(rows[i]) - static_cast<double>(start[i]);
    moved += step * step;
  }
  return errors + ridge * moved;
}

// Moves vector j by delta, for which (sum q q^T + ridge) delta = sum (target - best)(q) q - ridge (v - start).
void SupportSample::Document::move(const SupportSample& sample, const Kernels& kern, int64_t j, const SupportFit& how) {
  const int64_t ld = sample.ld_, count = firsts[j + 1] - firsts[j];
  const int32_t* own = members.data() + firsts[j];
  const auto ridge = static_cast<float>(how.ridge);
  float* const vector = rows.data() + j * ld;
  const float* const from = start.data() + j * ld;
  for (std::vector<float>* part : {&rest, &direction, &image}) part->resize(static_cast<size_t>(ld));
  kern.support.weighted_sum(sample.rows_.data(), ld, own, count, residual.data(), rest.data());
  for (int64_t i = 0; i < ld; ++i) rest[i] -= ridge * (vector[i] - from[i]);
  direction = rest;
  double square = kern.dot_f64(rest.data(), rest.data(), ld);
  const double enough = 1e-12 * square;
  for (int64_t step = 0; step < how.steps && square > enough; ++step) {
    if (count > kLong) check_interrupt();
    kern.support.apply_normal(sample.rows_.data(), ld, own, count, direction.data(), image.data());
    for (int64_t i = 0; i < ld; ++i) image[i] += ridge * direction[i];
    const double curvature = kern.dot_f64(direction.data(), image.data(), ld);
    if (!(curvature > 0)) return;
    const auto length = static_cast<float>(square / curvature);
    for (int64_t i = 0; i < ld; ++i) {
      vector[i] += length * direction[i];
      rest[i] -= length * image[i];
    }
    const double before = square;
    square = kern.dot_f64(rest.data(), rest.data(), ld);
    const auto share = static_cast<float>(square / before);
    for (int64_t i = 0; i < ld; ++i) direction[i] = rest[i] + share * direction[i];
  }
}

// `rows` holds the vectors at the start, and the fitted ones at the end.
bool SupportSample::Document::fit(const SupportSample& sample, int64_t fixed, const float* values, double shift,
                                  const SupportFit& how, double* objectives) {
  const Kernels& kern = kernels();
  start = kept = rows;
  if (!assign(sample, kern)) return false;
  aim(sample, values, shift, how.start_share);
  objectives[0] = objectives[1] = objective(sample, how.ridge);
  residual.resize(best.size());
  for (int64_t round = 0; round < how.rounds; ++round) {
    check_interrupt();
    for (int64_t q = 0; q < sample.n_; ++q) residual[q] = target[q] - best[q];
    group(sample.n_, rounded.n);
    for (int64_t j = fixed; j < rounded.n; ++j) move(sample, kern, j, how);
    if (!assign(sample, kern)) break;
    const double now = objective(sample, how.ridge);
    if (!(now < objectives[1])) continue;
    objectives[1] = now;
    kept = rows;
  }
  rows.swap(kept);
  return true;
}

SupportSample::SupportSample(const RowsView& sample) : n_(sample.n), d_(sample.d), ld_(round_up(sample.d, kLanes)) {
  load_padded(sample, 0, n_, ld_, rows_);
  valid_ = lanes_.round(kernels(), rows_.data(), n_, d_, ld_);
}

int64_t SupportSample::values(const Ragged& documents, float* values) const {
  Lowest bad;
  parallel_for(documents.n_docs, 1, [&](int64_t begin, int64_t end) {
    Document& own = Document::of_thread();
    for (int64_t i = begin; i < end; ++i) {
      float* const out = values + i * n_;
      own.rounded.n = documents.offsets[i + 1] - documents.offsets[i];
      std::fill(out, out + n_, 0.0f);
      if (own.rounded.n == 0) continue;
      load_padded(documents.rows, documents.offsets[i], documents.offsets[i + 1], ld_, own.rows);
      if (own.assign(*this, kernels())) {
        std::copy_n(own.best.begin(), n_, out);
      } else {
        bad.offer(i);
      }
    }
  });
  return bad.found();
}

int64_t SupportSample::fit(const Ragged& start, const int64_t* fixed, const float* values, const double* shifts,
                           const SupportFit& how, float* vectors, double* objectives) const {
  Lowest bad;
  parallel_for(start.n_docs, 1, [&](int64_t begin, int64_t end) {
    Document& own = Document::of_thread();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = start.offsets[i], last = start.offsets[i + 1];
      objectives[2 * i] = objectives[2 * i + 1] = 0;
      own.rounded.n = last - first;
      if (own.rounded.n == 0) continue;
      load_padded(start.rows, first, last, ld_, own.rows);
      if (!own.fit(*this, fixed[i], values + i * n_, shifts[i], how, objectives + 2 * i)) bad.offer(i);
      for (int64_t row = first; row < last; ++row)
        std::copy_n(own.rows.data() + (row - first) * ld_, d_, vectors + row * d_);
    }
  });
  return bad.found();
}

}  // namespace cluscomp
