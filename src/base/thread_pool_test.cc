#include "base/thread_pool.h"

#include <gtest/gtest.h>

namespace longhaul {
namespace {

TEST(ThreadPool, RunsEveryChunkExactlyOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (int round = 0; round < 2000; ++round) {
      const int64_t n = round % 37;
      std::vector<std::atomic<int>> counts(static_cast<size_t>(n));
      pool.run(n, [&](int64_t chunk, int) { counts[static_cast<size_t>(chunk)].fetch_add(1); });
      for (auto& c : counts) ASSERT_EQ(c.load(), 1);
    }
  }
}

TEST(ThreadPool, WakesWorkersThatSleep) {
  ThreadPool pool(2);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::atomic<int> sum{0};
  pool.run(10, [&](int64_t chunk, int) { sum += static_cast<int>(chunk); });
  EXPECT_EQ(sum.load(), 45);
}

}  // namespace
}  // namespace longhaul
