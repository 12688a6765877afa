#include "cluscomp/pq.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cluscomp/parallel.h"

namespace cluscomp {
namespace {

constexpr int64_t kEncodeRows = 512;  // rows of one piece of work

// In float64: squares of small numbers vanish in float. NaN or infinity where a row holds such a value.
double largest_norm_of(const float* rows, int64_t n, int64_t d) {
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    double squares = 0;
    for (int64_t j = 0; j < d; ++j) squares += static_cast<double>(rows[i * d + j]) * rows[i * d + j];
    const double norm = std::sqrt(squares);
    if (norm > largest || std::isnan(norm)) largest = norm;
  }
  return largest;
}

}  // namespace

PqCodebook::PqCodebook(const float* codebooks, int64_t m, int64_t dsub, int nbits)
    : m_(m), dsub_(dsub), nbits_(nbits), codebooks_(codebooks, codebooks + (m * dsub << nbits)) {
  transposed_.resize(codebooks_.size());
  largest_norms_.resize(static_cast<size_t>(m));
  const int64_t k = ksub();
  for (int64_t s = 0; s < m; ++s) {
    for (int64_t c = 0; c < k; ++c)
      for (int64_t j = 0; j < dsub; ++j) transposed_[(s * dsub + j) * k + c] = codebooks_[(s * k + c) * dsub + j];
    largest_norms_[s] = largest_norm_of(codewords(s), k, dsub);
  }
}

void PqCodebook::encode(const RowsView& x, uint8_t* codes) const {
  std::call_once(once_, [&] {
    assigners_.clear();  // left by a call that was interrupted
    for (int64_t s = 0; s < m_; ++s)
      assigners_.push_back(
          std::make_unique<Assigner>(codebooks_.data() + s * ksub() * dsub_, ksub(), dsub_, Metric::l2, nullptr));
  });
  const int64_t bytes = code_size();
  parallel_for(x.n, kEncodeRows, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> labels(static_cast<size_t>(end - begin));
    std::memset(codes + begin * bytes, 0, static_cast<size_t>((end - begin) * bytes));
    RowsView block{x.row(begin), x.type, end - begin, x.d, x.stride_in_elements};
    for (int64_t s = 0; s < m_; ++s) {
      assigners_[s]->assign(block.columns(s * dsub_, dsub_), nullptr, labels.data(), nullptr);
      for (int64_t i = begin; i < end; ++i)
        pack_code(codes + i * bytes, s, nbits_, static_cast<uint32_t>(labels[i - begin]));
    }
  });
}

// dsub > 0: the length of a codeword, known to the compiler.
template <int dsub>
void PqCodebook::decode_row(const uint8_t* row, float* out) const {
  const int64_t width = dsub ? dsub : dsub_, entries = ksub() * width;
  const float* book = codebooks_.data();
  for (int64_t s = 0; s < m_; ++s, book += entries, out += width)
    std::memcpy(out, book + unpack_code(row, s, nbits_) * width, static_cast<size_t>(width) * sizeof(float));
}

void PqCodebook::decode(const uint8_t* codes, int64_t n, float* out) const {
  parallel_for(n, kEncodeRows, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* row = codes + i * code_size();
      switch (dsub_) {
        case 1: decode_row<1>(row, out + i * d()); break;
        case 4: decode_row<4>(row, out + i * d()); break;
        case 8: decode_row<8>(row, out + i * d()); break;
        case 16: decode_row<16>(row, out + i * d()); break;
        default: decode_row<0>(row, out + i * d());
      }
    }
  });
}

void PqCodebook::tables(const float* query, Metric metric, float* out) const {
  const Kernels& kern = kernels();
  const auto table = metric == Metric::ip ? kern.table_dot : kern.table_l2;
  for (int64_t s = 0; s < m_; ++s)
    table(query + s * dsub_, transposed_.data() + s * dsub_ * ksub(), dsub_, ksub(), out + s * ksub());
}

}  // namespace cluscomp
