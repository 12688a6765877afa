// The other kernels: codes, centroid sums, the sums of Sinkhorn's two steps. Each result has one writer and a fixed
// order of sums.
#include <type_traits>

#include "block.h"
#include "cuda_api.h"

namespace cluscomp::cuda {
namespace {

struct PackCodes {
  const int32_t* labels;
  int64_t n, groups;
  int nbits;
  uint8_t* codes;

  CLUSCOMP_DEVICE void operator()(Block& block) const {  // one thread a byte: it may hold parts of two or three labels
    const int64_t bytes = div_up(groups * nbits, 8);
    block.threads([&](int t) {
      const int64_t at = block.index * kThreads + t;
      if (at >= n * bytes) return;
      const int64_t first_bit = at % bytes * 8;
      uint32_t byte = 0;
      for (int64_t g = first_bit / nbits; g < groups && g * nbits < first_bit + 8; ++g) {
        const auto label = static_cast<uint32_t>(labels[at / bytes * groups + g]);
        const int64_t shift = g * nbits - first_bit;
        byte |= shift >= 0 ? label << shift : label >> -shift;
      }
      codes[at] = static_cast<uint8_t>(byte);
    });
  }
};

template <class T>
struct SumRows {
  const T* x;
  int64_t d;
  const int64_t *order, *start;
  const double *weights, *rounders;
  double* sums;

  CLUSCOMP_DEVICE void operator()(Block& block) const {  // one block for kThreads columns of one centroid
    const int64_t parts = div_up(d, kThreads), c = block.index / parts;
    block.threads([&](int t) {
      const int64_t j = block.index % parts * kThreads + t;
      if (j >= d) return;
      double sum = sums[c * d + j];
      const double rounder = rounders[j];
      for (int64_t at = start[c]; at < start[c + 1]; ++at) {
        const int64_t i = order[at];
        sum += fma(weights ? weights[i] : 1.0, static_cast<double>(value_of(x[i * d + j])), rounder) - rounder;
      }
      sums[c * d + j] = sum;
    });
  }
};

// log2 of a sum of powers of two, as largest exponent and sum relative to it.
struct LogSum {
  double largest, sum;

  CLUSCOMP_DEVICE void add(double exponent, double times) {
    if (exponent == -INFINITY) return;
    if (exponent > largest) {
      sum = sum * exp2(largest - exponent) + times;  // 2^-infinity = 0 at the first
      largest = exponent;
    } else {
      sum += times * exp2(exponent - largest);
    }
  }
  CLUSCOMP_DEVICE double value() const { return sum > 0 ? largest + log2(sum) : -INFINITY; }
};

struct RowLogs {
  const float* cost;
  int64_t n, k;
  const double* shift;
  double scale;
  double* logs;

  CLUSCOMP_DEVICE void operator()(Block& block) const {  // one warp a row
    LogSum* part = reinterpret_cast<LogSum*>(block.shared);
    block.threads([&](int t) {
      const int64_t row = block.index * kWarps + t / 32;
      LogSum sum{-INFINITY, 0};
      for (int64_t j = t % 32; row < n && j < k; j += 32)
        sum.add(fma(-scale, static_cast<double>(cost[row * k + j]), shift[j]), 1);
      part[t] = sum;
    });
    block.threads([&](int t) {
      const int64_t row = block.index * kWarps + t / 32;
      if (t % 32 != 0 || row >= n) return;
      LogSum total = part[t];
      for (int lane = 1; lane < 32; ++lane) total.add(part[t + lane].largest, part[t + lane].sum);
      logs[row] = total.value();
    });
  }
};

struct ColumnParts {
  const float* cost;
  int64_t n, k;
  const double* shift;
  double scale;
  LogSum* parts;  // (chunks, k)

  CLUSCOMP_DEVICE void operator()(Block& block) const {  // one block for kThreads columns of kChunk rows
    const int64_t width = div_up(k, kThreads), chunk = block.index / width;
    block.threads([&](int t) {
      const int64_t j = block.index % width * kThreads + t;
      if (j >= k) return;
      const int64_t end = (chunk + 1) * kChunk < n ? (chunk + 1) * kChunk : n;
      LogSum sum{-INFINITY, 0};
      for (int64_t i = chunk * kChunk; i < end; ++i)
        sum.add(fma(-scale, static_cast<double>(cost[i * k + j]), shift[i]), 1);
      parts[chunk * k + j] = sum;
    });
  }
};

struct ColumnLogs {
  const LogSum* parts;
  int64_t chunks, k;
  double* logs;

  CLUSCOMP_DEVICE void operator()(Block& block) const {
    block.threads([&](int t) {
      const int64_t j = block.index * kThreads + t;
      if (j >= k) return;
      LogSum total{-INFINITY, 0};
      for (int64_t chunk = 0; chunk < chunks; ++chunk)
        total.add(parts[chunk * k + j].largest, parts[chunk * k + j].sum);
      logs[j] = total.value();
    });
  }
};

}  // namespace

void pack_codes(const int32_t* labels, int64_t n, int64_t groups, int nbits, uint8_t* codes, void* stream) {
  const int64_t bytes = n * div_up(groups * nbits, 8);
  launch(PackCodes{labels, n, groups, nbits, codes}, div_up(bytes, kThreads), 0, stream, "packing codes");
}

void sum_rows(const void* x, RowType type, int64_t d, const int64_t* order, const int64_t* start, int64_t k,
              const double* weights, const double* rounders, double* sums, void* stream) {
  const auto with = [&](auto* rows) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(rows)>>;
    launch(SumRows<T>{rows, d, order, start, weights, rounders, sums}, k * div_up(d, kThreads), 0, stream,
           "summing rows");
  };
  switch (type) {
    case RowType::f32: return with(static_cast<const float*>(x));
    case RowType::f16: return with(static_cast<const Half*>(x));
    case RowType::bf16: return with(static_cast<const Bfloat*>(x));
  }
}

void row_logs(const float* cost, int64_t n, int64_t k, const double* shift, double scale, double* logs, void* stream) {
  launch(RowLogs{cost, n, k, shift, scale, logs}, warp_blocks(n), kThreads * sizeof(LogSum), stream, "Sinkhorn, rows");
}

void column_logs(const float* cost, int64_t n, int64_t k, const double* shift, double scale, void* scratch,
                 double* logs, void* stream) {
  static_assert(sizeof(LogSum) == kPartBytes);
  const int64_t chunks = div_up(n, kChunk), width = div_up(k, kThreads);
  const auto parts = static_cast<LogSum*>(scratch);
  launch(ColumnParts{cost, n, k, shift, scale, parts}, chunks * width, 0, stream, "Sinkhorn, parts of columns");
  launch(ColumnLogs{parts, chunks, k, logs}, width, 0, stream, "Sinkhorn, columns");
}

}  // namespace cluscomp::cuda
