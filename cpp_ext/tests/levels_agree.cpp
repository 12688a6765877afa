// Every kernel of every level of this machine against the scalar level, bit for bit. Needs no Python, so it also runs
// under an emulator: cross-compile it with src/*.cpp (not bind/) for another processor.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "cluscomp/assign.h"
#include "cluscomp/documents.h"
#include "cluscomp/float_codes.h"
#include "cluscomp/interleaved_codes.h"
#include "cluscomp/kernels.h"
#include "cluscomp/maxsim.h"
#include "cluscomp/packed_matrix.h"
#include "cluscomp/pq_codes.h"
#include "cluscomp/prescreen.h"
#include "cluscomp/rabitq_codes.h"
#include "cluscomp/support.h"
#include "cluscomp/transport.h"
#include "cluscomp/unit_rows.h"
#include "cluscomp/ward.h"

using namespace cluscomp;

namespace {

int failures = 0;

template <class T>
void same(const std::vector<T>& got, const std::vector<T>& want, const char* level, const char* what) {
  if (got.size() == want.size() && std::memcmp(got.data(), want.data(), got.size() * sizeof(T)) == 0) return;
  std::printf("FAILED %s: %s\n", level, what);
  ++failures;
}

std::vector<float> random_floats(size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& value : out) value = normal(generator);
  return out;
}

struct Results {
  std::vector<float> sums;
  std::vector<int32_t> labels;
  std::vector<float> scores;
  std::vector<int64_t> hits;
  std::vector<double> doubles;
};

// 4-bit codes of d bytes: tables of 2 d sub-spaces, one to four queries over two groups of 32 rows.
void compare_shuffles(const Kernels& kern, const std::vector<float>& x, int64_t d, Results& out) {
  std::vector<uint8_t> groups(static_cast<size_t>(64 * d)), tables(static_cast<size_t>(kSharedQueries * d * 32));
  for (size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<uint8_t>(i * 73 + i / 7);
  const uint8_t* of_query[kSharedQueries];
  for (int q = 0; q < kSharedQueries; ++q) {
    uint8_t* table = tables.data() + q * d * 32;
    const TableScale scale = kern.byte_tables(x.data() + q * 16, 2 * d - q % 2, q < 2 ? 1.0f : -1.0f, table);
    out.sums.insert(out.sums.end(), {static_cast<float>(scale.low), static_cast<float>(scale.magnitude), scale.step});
    of_query[q] = table;
  }
  for (uint8_t entry : tables) out.labels.push_back(entry);
  uint64_t masks[kSharedQueries];
  uint16_t sums[kSharedQueries * 64];
  for (int limit = 0; limit < 254 * d; limit += 97)
    for (int queries = 1; queries <= kSharedQueries; ++queries) {
      const auto low = static_cast<uint16_t>(limit);
      const uint16_t limits[kSharedQueries] = {low, 0, low, low};
      kern.reach_u4({groups.data(), groups.data() + 32 * d, groups.data()}, d, of_query, limits, queries, masks, sums);
      for (int q = 0; q < queries; ++q) {
        out.hits.push_back(static_cast<int64_t>(masks[q]));
        for (int r = 0; r < 64; ++r)
          if (masks[q] >> r & 1) out.labels.push_back(sums[q * 64 + sum_slot(r)]);
      }
    }
}

// The floats' bytes as codes of d bytes.
void compare_bytes(const Kernels& kern, const std::vector<float>& x, int64_t d, Results& out) {
  std::vector<int8_t> weights(static_cast<size_t>((d + 63) / 64 * 64), 0);
  for (int64_t j = 0; j < d; ++j) weights[static_cast<size_t>(j)] = static_cast<int8_t>(j * 37 % 129 - 64);
  const auto n = static_cast<int64_t>(x.size() * sizeof(float)) / d;
  std::vector<int32_t> sums(static_cast<size_t>(n));
  kern.dots_u8(reinterpret_cast<const uint8_t*>(x.data()), n, d, weights.data(), sums.data());
  out.labels.insert(out.labels.end(), sums.begin(), sums.end());
}

void compare_sparse(const Kernels& kern, const std::vector<float>& x, const std::vector<float>& c, int64_t d,
                    Results& out) {
  const auto n = static_cast<int64_t>(std::min(x.size(), c.size()));
  std::vector<int32_t> below(static_cast<size_t>(n)), columns;
  below.resize(static_cast<size_t>(kern.select_below(x.data(), c.data(), n, below.data())));
  out.labels.insert(out.labels.end(), below.begin(), below.end());
  for (int64_t j = 0; j < d; j += 3) columns.push_back(static_cast<int32_t>(j));
  const auto panel = random_floats(static_cast<size_t>(d * kSparsePanel), 3);
  std::vector<float> scores(static_cast<size_t>(kSparsePanel));
  kern.sparse_scores(columns.data(), x.data(), static_cast<int64_t>(columns.size()), panel.data(), scores.data());
  out.sums.insert(out.sums.end(), scores.begin(), scores.end());
}

// Products of rows with k columns, in float32 and in float64, and their lengths.
void compare_products(const std::vector<float>& x, int64_t n, int64_t d, int64_t k, Results& out) {
  std::vector<double> rows(x.begin(), x.end()), matrix(static_cast<size_t>(d * k)),
      products(static_cast<size_t>(n * k));
  for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = rows[i % rows.size()] * 1.1;
  const PackedMatrix packed(matrix.data(), d, k);
  const RowsView view{x.data(), RowType::f32, n, d, d};
  const size_t at = out.sums.size(), unit = at + products.size();
  out.sums.resize(unit + 2 * x.size());
  packed.multiply(view, out.sums.data() + at);
  unit_rows(view, out.sums.data() + unit);
  unit_rows(rows.data(), n, d, out.sums.data() + unit + x.size());
  packed.multiply(rows.data(), n, products.data());
  out.doubles.insert(out.doubles.end(), products.begin(), products.end());
  row_norms(view, products.data());
  out.doubles.insert(out.doubles.end(), products.begin(), products.begin() + n);
}

// Ward's merges of two runs of rows, and the scores of the same rows as documents.
void compare_tokens(const RowsView& x, const RowsView& queries, Results& out) {
  const int64_t starts[] = {0, x.n / 3}, stops[] = {x.n / 3, x.n}, offsets[] = {0, x.n / 3, x.n};
  for (WardInput input : {WardInput::euclidean, WardInput::cosine_condensed, WardInput::cosine_square}) {
    std::vector<int32_t> merges(static_cast<size_t>(2 * x.n));
    std::vector<double> heights(static_cast<size_t>(x.n));
    ward_merges(x, {starts, stops, 2}, input, merges.data(), heights.data());
    out.labels.insert(out.labels.end(), merges.begin(), merges.end());
    out.doubles.insert(out.doubles.end(), heights.begin(), heights.end());
  }
  const int64_t query_offsets[] = {0, queries.n};
  out.scores.resize(out.scores.size() + 2);
  maxsim(queries, query_offsets, 1, x, offsets, 2, out.scores.data() + out.scores.size() - 2);
}

// Support pooling of two documents from their first rows, with other rows as the sample.
void compare_support(const RowsView& x, const RowsView& sample, Results& out) {
  const SupportSample packed(sample);
  const int64_t offsets[] = {0, x.n / 3, x.n}, starts[] = {0, 3, 20}, fixed[] = {1, 0};
  std::vector<float> values(static_cast<size_t>(2 * sample.n)), vectors(static_cast<size_t>(20 * x.d));
  std::vector<double> objectives(4);
  const double shifts[] = {0.02, -0.1};
  packed.values({x, offsets, 2}, values.data());
  const RowsView start{x.data, x.type, 20, x.d, x.d};
  packed.fit({start, starts, 2}, fixed, values.data(), shifts, {0.25, 2.0, 2, 6}, vectors.data(), objectives.data());
  out.sums.insert(out.sums.end(), values.begin(), values.end());
  out.sums.insert(out.sums.end(), vectors.begin(), vectors.end());
  out.doubles.insert(out.doubles.end(), objectives.begin(), objectives.end());
}

// The rows as documents of three vectors in lists: the best of some candidates, whose vectors are scaled to length 1.
void compare_documents(const RowsView& x, const RowsView& lists, Results& out) {
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= x.n; i += 3) offsets.push_back(i);
  std::vector<uint16_t> numbers;
  for (int64_t i = 0; i < x.n; ++i) numbers.push_back(static_cast<uint16_t>(i * 7 % lists.n));
  const FloatCodes codes(x);
  Documents documents;
  documents.codes = &codes;
  documents.d = x.d;
  documents.n = static_cast<int64_t>(offsets.size()) - 1;
  documents.offsets = offsets.data();
  documents.lists = numbers.data();
  documents.coarse = static_cast<const float*>(lists.data);
  documents.nlist = lists.n;
  documents.residual = documents.unit = true;
  DocumentSet set;
  set.append(documents);
  const int64_t query_offsets[] = {0, 11};
  const size_t scored = out.scores.size(), found = out.hits.size();
  out.scores.resize(scored + 10);
  out.hits.resize(found + 10);
  search_documents(set, documents.coarse, query_offsets, 1, {10, 20, lists.n / 2}, out.scores.data() + scored,
                   out.hits.data() + found);
}

const int64_t kTwoLists[] = {0, 70, 150};  // offsets of the rows of `run`

// The best rows of some queries by codes in two lists.
void compare_scan(const Codes& stored, const float* queries, const float* coarse, bool rough, float bars,
                  Results& out) {
  constexpr int64_t nq = 6, k = 9;
  const int32_t probes[] = {1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0};
  Parts parts;
  parts.append(stored, {.offsets = kTwoLists, .count = 2, .coarse = coarse});
  ScanCall call{.queries = queries, .nq = nq, .probes = probes, .n_probes = 2, .k = k};
  call.rough = rough;
  call.bars = bars;
  const size_t at = out.hits.size(), scored = out.scores.size();
  out.hits.resize(at + nq * k);
  out.scores.resize(scored + nq * k);
  stored.scan(parts, call, {out.scores.data() + scored, out.hits.data() + at});
}

// Score-aware codes of rows as they are and as residuals of others: d groups of one dimension, 16 codewords each.
// The best of scans of them in groups list by list, and across lists.
void compare_codes(const std::vector<float>& x, const std::vector<float>& whole, int64_t n, int64_t d, Results& out) {
  const auto words = random_floats(static_cast<size_t>(d * 16), 4);
  const PqCodebook codebook(words.data(), d, 1, 4);
  std::vector<uint8_t> codes(static_cast<size_t>(n * codebook.code_size()));
  for (const float* of : {x.data(), whole.data()}) {
    codebook.encode_score_aware(x.data(), of, n, 2.0f, 2, codes.data());
    out.labels.insert(out.labels.end(), codes.begin(), codes.end());
  }
  const int64_t one_list[] = {0, n};
  std::vector<uint8_t> across = codes;
  interleave_codes(codes.data(), codebook.code_size(), kTwoLists, 2, false);
  interleave_codes(across.data(), codebook.code_size(), one_list, 1, false);
  for (bool rough : {false, true}) {
    compare_scan(PqCodes(codebook, codes.data(), n, PqLayout::groups), x.data(), whole.data(), rough, 0, out);
    compare_scan(PqCodes(codebook, across.data(), n, PqLayout::groups_across_lists), x.data(), whole.data(), rough, 0,
                 out);
  }
}

// Codes of planes of bits of rows that are residuals of others: bytes, decoded rows, and the best of a scan.
void compare_planes(const Rabitq& form, const std::vector<float>& x, const std::vector<float>& whole, int64_t n,
                    int64_t d, Results& out) {
  std::vector<uint8_t> codes(static_cast<size_t>(n * form.row_bytes()));
  form.encode(x.data(), whole.data(), n, Metric::ip, codes.data());
  out.labels.insert(out.labels.end(), codes.begin(), codes.end());
  std::vector<float> decoded(static_cast<size_t>(n * d));
  form.decode(codes.data(), n, decoded.data());
  out.sums.insert(out.sums.end(), decoded.begin(), decoded.end());
  interleave_codes(codes.data(), form.row_bytes(), kTwoLists, 2, false);
  const RabitqCodes stored(form, codes.data(), n, true);
  for (const auto& [rough, bars] : {std::pair{false, 0.0f}, {true, 0.0f}, {false, 1.9f}})
    compare_scan(stored, x.data(), whole.data(), rough, bars, out);
}

void compare_rabitq(const std::vector<float>& x, const std::vector<float>& whole, int64_t n, int64_t d, Results& out) {
  for (int bits : {1, 2, 5}) compare_planes(Rabitq(whole.data(), d, bits), x, whole, n, d, out);
  RabitqAxes axes{std::vector<float>(static_cast<size_t>(d * d), 0.0f), {}, {}, 0, 0.5f};
  for (int64_t j = 0; j < d; ++j) {
    axes.directions[static_cast<size_t>(j * d + d - 1 - j)] = 1;
    axes.units.push_back(1.0f / static_cast<float>(j + 1));
  }
  for (int64_t width = (d + 7) / 8; width > 0 && axes.widths.size() < 8; width = (width - 1) / 4 * 2) {
    axes.widths.push_back(width);
    axes.code_bytes += width;
  }
  compare_planes(Rabitq(whole.data(), d, axes), x, whole, n, d, out);
}

Results run(int64_t d, int64_t k) {
  const Kernels& kern = kernels();
  const int64_t n = 150;
  const auto x = random_floats(static_cast<size_t>(n * d), 1), c = random_floats(static_cast<size_t>(k * d), 2);
  Results out;
  std::vector<uint16_t> half(static_cast<size_t>(d));
  std::vector<uint8_t> bytes(static_cast<size_t>(d));
  for (int64_t j = 0; j < d; ++j) {
    half[j] = static_cast<uint16_t>(0x3000 + 37 * j);
    bytes[j] = static_cast<uint8_t>(91 * j);
  }
  for (RowType type : {RowType::f16, RowType::bf16}) {
    out.sums.push_back(kern.dot(x.data(), half.data(), type, d));
    out.sums.push_back(kern.l2(x.data(), half.data(), type, d));
  }
  out.sums.push_back(kern.dot_u8(x.data(), bytes.data(), d));
  out.sums.push_back(kern.l2_u8(x.data(), c.data(), bytes.data(), d));
  const size_t pairs = out.sums.size();
  out.sums.resize(pairs + 2 * 7 * 5);  // both odd: some rows are left over by every tile
  kern.dots(x.data(), 7, c.data(), 5, d, out.sums.data() + pairs, 5);
  kern.squares(x.data(), 7, c.data(), 5, d, out.sums.data() + pairs + 35, 5);
  compare_shuffles(kern, x, d, out);
  compare_bytes(kern, x, d, out);
  compare_products(x, n, d, k, out);
  compare_sparse(kern, x, c, d, out);
  compare_rabitq(x, random_floats(x.size(), 6), n, d, out);
  compare_codes(x, random_floats(x.size(), 5), n, d, out);
  for (Metric metric : {Metric::l2, Metric::ip})
    for (Filter filter : {Filter::f32, Filter::i8, Filter::i6, Filter::i16}) {
      Assigner assigner(c.data(), k, d, metric, nullptr);
      assigner.force_filter(filter);
      const size_t at = out.labels.size();
      out.labels.resize(at + n);
      out.scores.resize(at + n);
      assigner.assign({x.data(), RowType::f32, n, d, d}, nullptr, out.labels.data() + at, out.scores.data() + at);
    }
  const RowsView rows{c.data(), RowType::f32, k, d, d};
  const std::vector<float> mean(static_cast<size_t>(d), 0.0f);
  std::vector<uint8_t> values(static_cast<size_t>(prescreen_value_bytes(k, d)));
  std::vector<float> terms(static_cast<size_t>(prescreen_term_count(k)));
  const float longest = build_prescreen(rows, mean.data(), Metric::ip, values.data(), terms.data());
  std::vector<float> best(static_cast<size_t>(n * 5));
  const size_t before = out.hits.size();
  out.hits.resize(before + static_cast<size_t>(n * 5));
  const PrescreenedCodes screened(rows, {values.data(), terms.data(), mean.data(), longest});
  const int64_t bounds[] = {0, k};
  const ScanCall call{.queries = x.data(), .nq = n, .k = 5, .metric = Metric::ip};
  Parts parts;
  parts.append(screened, {.offsets = bounds, .count = 1});
  scan_prescreened(parts, call, {best.data(), out.hits.data() + before});
  out.scores.insert(out.scores.end(), best.begin(), best.end());
  compare_tokens({x.data(), RowType::f32, n, d, d}, rows, out);
  compare_documents({x.data(), RowType::f32, n, d, d}, rows, out);
  compare_support({x.data(), RowType::f32, n, d, d}, rows, out);
  for (Metric metric : {Metric::l2, Metric::ip}) {
    const Transport costs({x.data(), RowType::f32, n, d, d}, c.data(), x.data(), k, metric);
    std::vector<double> shift(static_cast<size_t>(k + 1), 0.25), stable(static_cast<size_t>(n), 0.0), weight(stable),
        mass(static_cast<size_t>(n), 0.01), lift(static_cast<size_t>(n), 0.5), column(shift.size(), 0.0);
    const Transport::RowState state{stable.data(), weight.data(), lift.data()};
    costs.sweep(0, n, {1.5, shift.data(), k + 1}, mass.data(), 1.0, state, column.data());
    costs.column_max(0, n, {1.5, shift.data(), k + 1}, state, shift.data());
    for (const auto& part : {stable, weight, column, shift})
      out.doubles.insert(out.doubles.end(), part.begin(), part.end());
  }
  return out;
}

}  // namespace

int main() {
  const Kernels* levels[4];
  const int count = available_levels(levels, 4);
  for (const auto& [d, k] : {std::pair<int64_t, int64_t>{5, 40}, {8, 300}, {33, 70}, {96, 600}, {130, 17}}) {
    set_level("scalar");
    const Results want = run(d, k);
    for (int i = 1; i < count; ++i) {
      set_level(levels[i]->name);
      const Results got = run(d, k);
      same(got.sums, want.sums, levels[i]->name, "sums");
      same(got.labels, want.labels, levels[i]->name, "labels");
      same(got.scores, want.scores, levels[i]->name, "scores");
      same(got.doubles, want.doubles, levels[i]->name, "float64 sums");
      same(got.hits, want.hits, levels[i]->name, "hits of the prescreen search");
    }
  }
  std::printf("levels compared with scalar: %d, failures: %d\n", count - 1, failures);
  return failures != 0;
}
