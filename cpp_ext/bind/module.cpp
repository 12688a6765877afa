#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "cluscomp/kernels.h"
#include "cluscomp/parallel.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

// Runs the handlers of signals that have come, such as the one that raises KeyboardInterrupt.
void answer_signals() {
  nb::gil_scoped_acquire hold;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

}  // namespace

NB_MODULE(_core, m) {
  cluscomp::set_interrupt_check(&answer_signals);
  m.doc() = "Kernels of cluscomp. Private: import cluscomp.native.";
  m.def("num_threads", &cluscomp::num_threads, "Thread budget of all kernels.");
  m.def("set_num_threads", &cluscomp::set_num_threads, "n"_a, "Set the thread budget (at least 1).");
  m.def("stay_on_this_thread", &cluscomp::stay_on_this_thread, "stay"_a,
        "Keep the kernels that this thread calls on this thread, or let them spread again.");
  m.def("simd_level", [] { return std::string(cluscomp::kernels().name); }, "Instruction set in use.");
  m.def(
      "set_simd_level", [](const std::string& name) { cluscomp::set_level(name.c_str()); }, "name"_a,
      "Force an instruction set that this machine has.");
  m.def(
      "available_simd_levels",
      [] {
        const cluscomp::Kernels* levels[4];
        const int n = cluscomp::available_levels(levels, 4);
        std::vector<std::string> names;
        for (int i = 0; i < n; ++i) names.emplace_back(levels[i]->name);
        return names;
      },
      "Instruction sets of this machine, slowest first.");
  cluscomp::bind::bind_assign(m);
  cluscomp::bind::bind_balanced(m);
  cluscomp::bind::bind_hash(m);
  cluscomp::bind::bind_ids(m);
  cluscomp::bind::bind_medoids(m);
  cluscomp::bind::bind_pq(m);
  cluscomp::bind::bind_products(m);
  cluscomp::bind::bind_rabitq(m);
  cluscomp::bind::bind_codes(m);
  cluscomp::bind::bind_scan(m);
  cluscomp::bind::bind_search(m);
  cluscomp::bind::bind_prescreen(m);
  cluscomp::bind::bind_postings(m);
  cluscomp::bind::bind_sparse(m);
  cluscomp::bind::bind_term_blocks(m);
  cluscomp::bind::bind_transport(m);
  cluscomp::bind::bind_ward(m);
  cluscomp::bind::bind_maxsim(m);
  cluscomp::bind::bind_documents(m);
  cluscomp::bind::bind_support(m);
  cluscomp::bind::bind_walk(m);
}
