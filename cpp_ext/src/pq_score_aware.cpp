#include <algorithm>
#include <cmath>

#include "cluscomp/parallel.h"
#include "cluscomp/pq.h"

namespace cluscomp {
namespace {

constexpr int64_t kAwareRows = 64;  // rows of one piece of work

}  // namespace

void PqCodebook::encode_score_aware(const float* x, const float* whole, int64_t n, float weight, int passes,
                                    uint8_t* codes) const {
  encode(RowsView{x, RowType::f32, n, d(), d()}, codes);
  std::vector<float> norms(static_cast<size_t>(m_ * ksub()));
  for (int64_t c = 0; c < m_ * ksub(); ++c) {
    const float* word = codebooks_.data() + c * dsub_;
    norms[c] = kernels().dot(word, word, RowType::f32, dsub_);
  }
  parallel_for(n, kAwareRows, [&](int64_t begin, int64_t end) {
    std::vector<float> direction(static_cast<size_t>(d()));
    for (int64_t i = begin; i < end; ++i) {
      const float* row = whole + i * d();
      const double length = std::sqrt(kernels().dot_f64(row, row, d()));
      if (!(length > 0)) continue;  // no direction: the nearest codewords stay
      for (int64_t j = 0; j < d(); ++j) direction[j] = static_cast<float>(row[j] / length);
      improve(x + i * d(), direction.data(), norms.data(), weight, passes, codes + i * code_size());
    }
  });
}

// Coordinate descent: each code in turn takes its best value given all others, until none moves.
void PqCodebook::improve(const float* x, const float* u, const float* norms, float weight, int passes,
                         uint8_t* codes) const {
  const Kernels& kern = kernels();
  std::vector<int32_t> chosen(static_cast<size_t>(m_));
  std::vector<float> inner(static_cast<size_t>(m_));
  float along = kern.dot(x, u, RowType::f32, d());  // <x - decoded, u>
  for (int64_t s = 0; s < m_; ++s) {
    chosen[s] = static_cast<int32_t>(unpack_code(codes, s, nbits_));
    inner[s] = kern.dot(u + s * dsub_, codebooks_.data() + (s * ksub() + chosen[s]) * dsub_, RowType::f32, dsub_);
    along -= inner[s];
  }
  bool moved = true;
  for (int pass = 0; pass < passes && moved; ++pass) {
    moved = false;
    for (int64_t s = 0; s < m_; ++s) {
      along += inner[s];
      const int32_t best = kern.score_aware(x + s * dsub_, u + s * dsub_, transposed_.data() + s * dsub_ * ksub(),
                                            norms + s * ksub(), along, weight, dsub_, ksub(), &inner[s]);
      along -= inner[s];
      if (best < 0) continue;  // values whose squares are beyond float32
      moved = moved || best != chosen[s];
      chosen[s] = best;
    }
  }
  std::fill_n(codes, code_size(), uint8_t{0});
  for (int64_t s = 0; s < m_; ++s) pack_code(codes, s, nbits_, static_cast<uint32_t>(chosen[s]));
}

}  // namespace cluscomp
