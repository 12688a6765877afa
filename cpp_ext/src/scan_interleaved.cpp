// The scan of interleaved 4-bit product codes: 7-bit tables bound a row by a sum of bytes.
#include <algorithm>
#include <vector>

#include "cluscomp/interleaved_codes.h"
#include "cluscomp/kernels.h"
#include "four_bit_tables.h"
#include "interleaved_scan.h"

namespace cluscomp {
namespace {

// What InterleavedScan needs to know (interleaved_scan.h).
class FourBitForm {
 public:
  using Bound = uint16_t;
  static constexpr int kTogether = FourBitTables::kTogether;
  struct Tables {
    const float *query, *bases;
    FourBitTables entries;
    float base = 0;  // what the list adds to scores
  };

  explicit FourBitForm(const FourBitCodes& codes) : codes_(codes) {}

  int64_t row_bytes() const { return codes_.bytes(); }
  static const uint8_t* first_row(const Codes& codes) { return static_cast<const PqCodes&>(codes).row(0); }

  Tables make(const float* query, const float* bases) const {
    Tables tables{query, codes_.residual && codes_.metric == Metric::ip ? bases : nullptr, {}};
    if (!codes_.table_per_list()) fill(tables, query);
    return tables;
  }
  void enter(Tables& tables, const Visit& visit, const float* centroid) const {
    tables.base = tables.bases ? tables.bases[visit.probe] : 0;
    if (!centroid) return;
    const int64_t d = codes_.book.d();
    if (codes_.table_per_list()) {
      thread_local std::vector<float> residual;
      residual.resize(static_cast<size_t>(d));
      for (int64_t j = 0; j < d; ++j) residual[j] = tables.query[j] - centroid[j];
      fill(tables, residual.data());
    } else if (!tables.bases) {
      tables.base = kern_.dot(tables.query, centroid, RowType::f32, d);
    }
  }
  void reach(const CodePair& codes, const Tables* const* tables, const uint16_t* limits, int count, uint64_t* masks,
             uint16_t* bounds) const {
    const uint8_t* bytes[kSharedQueries];
    for (int q = 0; q < count; ++q) bytes[q] = tables[q]->entries.bytes();
    kern_.reach_u4(codes, codes_.bytes(), bytes, limits, count, masks, bounds);
  }
  bool limit(const Tables& tables, float threshold, uint16_t& least) const {
    const int64_t needed = tables.entries.needed(threshold, tables.base);
    least = static_cast<uint16_t>(std::min<int64_t>(needed, 65535));
    return needed <= 65535;
  }
  bool rough(const Tables& tables) const { return tables.entries.rough(); }
  float value(const Tables& tables, uint16_t sum) const { return tables.entries.value(sum, tables.base); }
  void exact(const Tables& tables, const uint8_t* const* at, const int64_t* stride, float* out) const {
    float bases[kTogether];
    std::fill_n(bases, kTogether, tables.base);
    tables.entries.exact_scores(codes_, at, stride, bases, out);
  }

 private:
  const Kernels& kern_ = kernels();
  const FourBitCodes& codes_;

  void fill(Tables& tables, const float* values) const {
    thread_local std::vector<float> floats;
    tables.entries.fill(codes_, values, floats);
  }
};

}  // namespace

void scan_interleaved(const Parts& parts, const ScanCall& call, const HitArrays& out) {
  const FourBitCodes codes{.book = static_cast<const PqCodes&>(parts.form()).book(),
                           .metric = call.metric,
                           .residual = parts.coarse() != nullptr,
                           .rough = call.rough};
  InterleavedScan<FourBitForm>::run(FourBitForm(codes), parts, call, out);
}

}  // namespace cluscomp
