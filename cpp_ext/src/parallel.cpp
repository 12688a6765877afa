#include "cluscomp/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace cluscomp {
namespace {

thread_local bool inside_worker = false;

int initial_threads() {
  if (const char* text = std::getenv("CLUSCOMP_NUM_THREADS")) {
    const int n = std::atoi(text);
    if (n > 0) return n;
  }
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::atomic<void (*)()> interrupt_check{nullptr};

std::atomic<int>& budget() {
  static std::atomic<int> value{initial_threads()};
  return value;
}

struct Job {
  const std::function<void(int64_t, int64_t)>* body;
  int64_t n, grain;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;

  void work() {
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t begin = next.fetch_add(grain);
      if (begin >= n) return;
      try {
        (*body)(begin, std::min(n, begin + grain));
        check_interrupt();
      } catch (...) {
        std::lock_guard<std::mutex> lock(error_mutex);
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  }
};

// The kernel of a virtual machine may pass over a processor that has idled for some milliseconds. A thread that last
// ran where the caller runs now is then woken behind the caller, and a short job is over before the thread starts
// (measured: after pauses of 20 ms, 4 instead of 5.7 ms). Such a thread is kept off that processor until it has been
// placed.
class Place {
 public:
  void leave(int processor) {  // called while the thread sleeps
    if (!moved_ && sched_getaffinity(id_, sizeof all_, &all_) != 0) return;
    cpu_set_t others = all_;
    CPU_CLR(processor, &others);
    moved_ = CPU_COUNT(&others) > 0 && sched_setaffinity(id_, sizeof others, &others) == 0;
  }
  void arrived() {  // called by the thread itself
    if (moved_) sched_setaffinity(id_, sizeof all_, &all_);
    moved_ = false;
  }
  void remember() { last_ = sched_getcpu(); }
  void start() { id_ = static_cast<pid_t>(syscall(SYS_gettid)); }
  int last() const { return last_; }

 private:
  pid_t id_ = 0;
  int last_ = -1;
  bool moved_ = false;
  cpu_set_t all_;
};

class Pool {
 public:
  std::mutex busy;  // held for the length of one parallel_for

  void run(Job& job, int threads) {
    grow(threads - 1);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      wanted_ = threads - 1;
      running_ = 0;
      ++round_;
      const int here = sched_getcpu();
      for (auto& place : places_)
        if (place->last() == here) place->leave(here);
    }
    wake_.notify_all();
    inside_worker = true;
    job.work();
    inside_worker = false;
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_ = 0;  // late risers find nothing to join
    done_.wait(lock, [this] { return running_ == 0; });
    job_ = nullptr;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  std::vector<std::unique_ptr<Place>> places_;  // of the threads; under mutex_
  Job* job_ = nullptr;
  int wanted_ = 0, running_ = 0;
  uint64_t round_ = 0;

  void grow(int n) {
    while (static_cast<int>(threads_.size()) < n) {
      std::lock_guard<std::mutex> lock(mutex_);
      places_.push_back(std::make_unique<Place>());
      threads_.emplace_back([this, place = places_.back().get()] { loop(*place); });
      threads_.back().detach();
    }
  }

  void loop(Place& place) {
    inside_worker = true;
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    place.start();
    for (;;) {
      wake_.wait(lock, [&] {
        place.remember();  // also where it came too late
        return round_ != seen && wanted_ > 0;
      });
      seen = round_;
      --wanted_;
      ++running_;
      Job* job = job_;
      place.arrived();
      lock.unlock();
      job->work();
      lock.lock();
      if (--running_ == 0) done_.notify_all();
    }
  }
};

// Never destroyed: detached workers may outlive static destructors. After fork the child has no workers, so it
// starts with a fresh pool.
Pool* current_pool = nullptr;
std::mutex create_mutex;

Pool& pool() {
  std::lock_guard<std::mutex> lock(create_mutex);
  if (!current_pool) {
    current_pool = new Pool;
    static const bool registered = [] {
      pthread_atfork(nullptr, nullptr, [] {
        current_pool = nullptr;
        inside_worker = false;
      });
      return true;
    }();
    (void)registered;
  }
  return *current_pool;
}

}  // namespace

int num_threads() { return budget().load(); }
void set_num_threads(int n) { budget().store(std::max(1, n)); }
void stay_on_this_thread(bool stay) { inside_worker = stay; }
bool alone() { return inside_worker || num_threads() == 1; }

void set_interrupt_check(void (*check)()) { interrupt_check = check; }

void check_interrupt() {
  using Clock = std::chrono::steady_clock;
  static thread_local const bool is_main = syscall(SYS_gettid) == getpid();  // signals are answered nowhere else
  static thread_local Clock::time_point last{};
  if (!is_main) return;
  const auto now = Clock::now();
  if (now - last < std::chrono::milliseconds(50)) return;
  last = now;
  if (const auto check = interrupt_check.load()) check();
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  Job job{&body, n, grain, {}, {}, {}, {}};
  const int64_t pieces = (n + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), pieces));
  if (threads <= 1 || inside_worker) {
    job.work();
  } else {
    Pool& shared = pool();
    std::unique_lock<std::mutex> lock(shared.busy, std::try_to_lock);
    if (lock.owns_lock()) {
      shared.run(job, threads);
    } else {
      job.work();
    }
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace cluscomp
