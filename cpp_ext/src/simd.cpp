// Run-time choice of the instruction set. The guard asks for every flag that CMakeLists.txt gives to the file.
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "cluscomp/kernels.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace cluscomp {
namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports also checks XGETBV, that is, whether the operating system saves the wide registers.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
bool has_neon_dot() {
  const unsigned long caps = getauxval(AT_HWCAP);
  return (caps & (1ul << 20)) && (caps & (1ul << 10));  // HWCAP_ASIMDDP and HWCAP_ASIMDHP
}
#endif

const Kernels* find(const std::string& name) {
  const Kernels* levels[4];
  const int n = available_levels(levels, 4);
  std::string known;
  for (int i = 0; i < n; ++i) {
    if (name == levels[i]->name) return levels[i];
    known += std::string(i ? ", " : "") + levels[i]->name;
  }
  throw std::invalid_argument("SIMD level '" + name + "' does not exist on this machine; it has: " + known);
}

const Kernels* initial() {
  if (const char* forced = std::getenv("CLUSCOMP_SIMD"); forced && *forced) return find(forced);
  const Kernels* levels[4];
  const int n = available_levels(levels, 4);
  return levels[n - 1];
}

std::atomic<const Kernels*>& active() {
  static std::atomic<const Kernels*> table{initial()};
  return table;
}

}  // namespace

int available_levels(const Kernels** out, int capacity) {
  int n = 0;
  auto offer = [&](const Kernels& level, bool here) {
    if (here && n < capacity) out[n++] = &level;
  };
  offer(kernels_scalar, true);
#if defined(__x86_64__)
  offer(kernels_avx2, has_avx2());
  offer(kernels_avx512, has_avx512());
#elif defined(__aarch64__)
  offer(kernels_neon, has_neon_dot());
#endif
  return n;
}

const Kernels& kernels() { return *active().load(); }
void set_level(const char* name) { active().store(find(name)); }

}  // namespace cluscomp
