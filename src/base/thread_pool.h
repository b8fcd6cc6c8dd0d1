// Fork-join over numbered chunks: fixed workers, the caller takes part, chunks are claimed one by
// one.
//
// How a problem is cut into chunks depends on its size alone, never on the number of threads, so
// results do not either. A region costs no allocation and no lock; workers spin for about 50 us
// after a region, then sleep.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace longhaul {

class ThreadPool {
 public:
  // Including the caller; at least 1. Throws std::system_error where the system does not start as
  // many.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(chunk, thread) for every chunk in [0, n_chunks), thread in [0, n_threads), and
  // returns when all are done. Not reentrant: one region at a time. `body` must not throw.
  template <class Body>
  void run(int64_t n_chunks, const Body& body) {
    run_erased(
        n_chunks,
        [](const void* b, int64_t chunk, int thread) {
          (*static_cast<const Body*>(b))(chunk, thread);
        },
        &body);
  }

 private:
  using Call = void (*)(const void*, int64_t, int);
  void run_erased(int64_t n_chunks, Call call, const void* body);
  void work(int thread);
  void stop();
  void claim_chunks(uint32_t generation, int thread);

  // generation (upper half) and chunks not yet claimed (lower half) in one word: a worker late from
  // the previous region finds none left, or another generation, and cannot claim a chunk of this
  // one.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int64_t> remaining_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<int32_t> asleep_{0};
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> body_{nullptr};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

// Threads to use when the user names none: the processors this process may run on.
int default_thread_count();

}  // namespace longhaul
