#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "base/check.h"

namespace longhaul {
namespace {

constexpr auto kSpin = std::chrono::microseconds(50);

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) {
  LH_CHECK(n_threads >= 1);
  try {
    for (int t = 1; t < n_threads; ++t) workers_.emplace_back([this, t] { work(t); });
    // the system starts no more; those that run must end before the rest of this object does
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
  for (auto& w : workers_) w.join();
}

void ThreadPool::run_erased(int64_t n_chunks, Call call, const void* body) {
  if (n_chunks <= 0) return;
  if (workers_.empty() || n_chunks == 1) {
    for (int64_t c = 0; c < n_chunks; ++c) call(body, c, 0);
    return;
  }
  LH_CHECK(n_chunks < (int64_t{1} << 31));
  const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  call_.store(call, std::memory_order_relaxed);
  body_.store(body, std::memory_order_relaxed);
  remaining_.store(n_chunks, std::memory_order_relaxed);
  ticket_.store(static_cast<uint64_t>(generation) << 32 | static_cast<uint64_t>(n_chunks),
                std::memory_order_release);
  generation_.store(generation, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst) > 0) generation_.notify_all();

  claim_chunks(generation, 0);
  for (int spins = 0; remaining_.load(std::memory_order_acquire) > 0; ++spins) {
    pause();
    // With more runnable threads than processors the worker that holds the last chunk needs this
    // one's processor.
    if (spins > 20000) std::this_thread::yield();
  }
}

void ThreadPool::claim_chunks(uint32_t generation, int thread) {
  uint64_t seen = ticket_.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(seen >> 32) == generation) {
    const auto left = static_cast<int64_t>(seen & 0xffffffffu);
    if (left == 0) return;
    if (!ticket_.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire))
      continue;
    call_.load(std::memory_order_relaxed)(body_.load(std::memory_order_relaxed), left - 1, thread);
    remaining_.fetch_sub(1, std::memory_order_acq_rel);
    seen = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  uint32_t done = 0;
  while (true) {
    auto spin_until = std::chrono::steady_clock::now() + kSpin;
    uint32_t generation = generation_.load(std::memory_order_acquire);
    for (int i = 0; generation == done; ++i) {
      pause();
      if (i % 64 == 63 && std::chrono::steady_clock::now() > spin_until) {
        asleep_.fetch_add(1, std::memory_order_seq_cst);
        generation_.wait(done, std::memory_order_seq_cst);
        asleep_.fetch_sub(1, std::memory_order_relaxed);
      }
      generation = generation_.load(std::memory_order_acquire);
    }
    if (stopping_.load()) return;
    done = generation;
    claim_chunks(generation, thread);
  }
}

int default_thread_count() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace longhaul
