// Memory of sequences: a budget in bytes that they draw from as they grow, and hand back to.
//
// Whatever a sequence keeps is drawn here: pages of rows, rings, fixed blocks. Memory that is
// handed back waits for the next to draw as much; within the budget, memory in use and memory that
// waits are counted together. Any thread may draw pages and drop them; a page itself is nobody's
// but its holders'.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "base/buffer.h"
#include "base/errors.h"

namespace longhaul {

// Some bytes of a pool, held by one or several; with the last holder they go back. Empty until
// drawn.
class Page {
 public:
  Page() = default;
  Page(const Page& other);
  Page(Page&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  Page& operator=(Page other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~Page();

  std::byte* data() const;
  uint64_t size() const;
  std::span<std::byte> bytes() const { return {data(), size()}; }
  // Whether somebody else holds it too: then it is to be copied before it is written to. Once it is
  // not, whatever others read of it has been read.
  bool is_shared() const;

 private:
  friend class PagePool;
  struct Held;
  Held* held_ = nullptr;
};

// Copies are the same pool, which lives as long as the last of them and of its pages.
class PagePool {
 public:
  explicit PagePool(uint64_t budget_bytes = UINT64_MAX);

  // Zeroed, at the border of a cache line. kOverBudget where the budget or the system has no more.
  Result<Page> draw(uint64_t bytes) const;

  uint64_t budget_bytes() const;
  uint64_t used_bytes() const;  // that somebody holds
  uint64_t free_bytes() const { return budget_bytes() - used_bytes(); }

 private:
  friend class Page;
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace longhaul
