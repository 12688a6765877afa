// One bounded pool of threads for every kernel. No OpenMP: two OpenMP runtimes in one process (torch, faiss) crash.
#pragma once

#include <cstdint>
#include <functional>

namespace cluscomp {

// The global thread budget, at least 1. It starts at CLUSCOMP_NUM_THREADS, else at the number of processors granted.
int num_threads();
void set_num_threads(int n);

// Keeps the kernels that the calling thread starts on this thread (or lets them spread again): for callers with threads
// of their own. `alone` says whether a call of parallel_for would stay on the calling thread for this or another
// reason.
void stay_on_this_thread(bool stay);
bool alone();

// Long loops ask now and then whether the user wants them to end. `check` is called on the process's main thread only,
// no more often than every 50 ms, and throws to end the loop; the binding installs one that answers Ctrl-C.
// parallel_for asks after every piece that the calling thread has done. Other long loops call check_interrupt
// themselves.
void set_interrupt_check(void (*check)());
void check_interrupt();

// Calls body(begin, end) for pieces of at most `grain` items that cover [0, n), from several threads at once.
// Pieces are handed out in order but finish in any order: a result must not depend on which thread ran a piece.
// A call from inside `body`, or while another Python thread holds the pool, runs in the calling thread alone.
// The first exception thrown by `body` is thrown again here.
void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace cluscomp
