// Stands in for cuda/*.cu where no nvcc was found when the package was built.
#include <stdexcept>

#include "cuda_api.h"

namespace cluscomp::cuda {
namespace {
[[noreturn]] void refuse() { throw std::runtime_error(unavailable_reason()); }
}  // namespace

std::string unavailable_reason() { return "this build has no CUDA kernels: nvcc was not found when it was compiled"; }

void prepare(const float*, const float*, const Shape&, bool, void*, void*) { refuse(); }
void assign(const void*, RowType, const float*, const float*, const Shape&, bool, const void*, void*, int32_t*, float*,
            void*) {
  refuse();
}
void pack_codes(const int32_t*, int64_t, int64_t, int, uint8_t*, void*) { refuse(); }
void sum_rows(const void*, RowType, int64_t, const int64_t*, const int64_t*, int64_t, const double*, const double*,
              double*, void*) {
  refuse();
}
void row_logs(const float*, int64_t, int64_t, const double*, double, double*, void*) { refuse(); }
void column_logs(const float*, int64_t, int64_t, const double*, double, void*, double*, void*) { refuse(); }

}  // namespace cluscomp::cuda
