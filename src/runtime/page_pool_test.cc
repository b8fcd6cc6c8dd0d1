#include "runtime/page_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace longhaul {
namespace {

bool is_zero(const Page& page) {
  const auto bytes = page.bytes();
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

TEST(PagePool, DrawsWithinItsBudgetAndTakesBack) {
  const PagePool pool(1000);
  auto a = pool.draw(600);
  ASSERT_TRUE(a.ok() && is_zero(*a));
  EXPECT_EQ(a->size(), 600u);
  EXPECT_EQ(pool.free_bytes(), 400u);
  const auto refused = pool.draw(401);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOverBudget);
  EXPECT_NE(refused.error().text().find("600 of 1000 bytes are in use, 401 more"),
            std::string::npos)
      << refused.error().text();
  EXPECT_TRUE(pool.draw(400).ok()) << "dropped at once";
  *a = Page();
  EXPECT_EQ(pool.used_bytes(), 0u);
  EXPECT_FALSE(pool.draw(UINT64_MAX).ok());
  EXPECT_TRUE(pool.draw(0).ok());
}

// Memory that waits for one size makes way for another, and comes back without what was in it.
TEST(PagePool, WhatWaitsIsWithinTheBudgetToo) {
  const PagePool pool(1000);
  const std::byte* at = nullptr;
  {
    auto page = pool.draw(500);
    at = page->data();
    std::fill_n(page->data(), 500, std::byte{7});
  }
  auto again = pool.draw(500);
  EXPECT_EQ(again->data(), at) << "the same memory";
  EXPECT_TRUE(is_zero(*again));
  *again = Page();
  const auto whole = pool.draw(1000);
  EXPECT_TRUE(whole.ok());
  EXPECT_FALSE(pool.draw(500).ok());
}

TEST(PagePool, APageLivesAsLongAsItsHolders) {
  Page kept;
  {
    const PagePool pool(100);
    auto page = pool.draw(100);
    EXPECT_FALSE(page->is_shared());
    kept = *page;
    EXPECT_TRUE(kept.is_shared());
    *page = Page();
    EXPECT_FALSE(kept.is_shared());
    EXPECT_EQ(pool.used_bytes(), 100u);
  }
  kept.data()[99] = std::byte{1};  // the pool lives as long
  Page& same = kept;
  kept = same;
  EXPECT_EQ(kept.data()[99], std::byte{1});
}

TEST(PagePool, ManyThreadsDrawAndDrop) {
  const PagePool pool(64 * 16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      std::vector<Page> held;
      for (int i = 0; i < 2000; ++i) {
        auto page = pool.draw(16u << (i + t) % 3);
        if (page.ok()) held.push_back(*page);
        if (i % 5 == 4) held.clear();
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(pool.used_bytes(), 0u);
  EXPECT_TRUE(pool.draw(64 * 16).ok());
}

}  // namespace
}  // namespace longhaul
