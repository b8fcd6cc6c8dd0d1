#include "runtime/page_pool.h"

#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

namespace longhaul {

struct PagePool::Shared {
  explicit Shared(uint64_t budget_bytes) : budget(budget_bytes) {}

  Result<Buffer> take(uint64_t bytes);
  void give_back(Buffer memory);
  // Lets go of what waits until so many bytes fit into the budget besides.
  void make_room(uint64_t bytes);

  const uint64_t budget;
  mutable std::mutex mutex;
  uint64_t used = 0, waiting = 0;                   // bytes; together within the budget
  std::map<uint64_t, std::vector<Buffer>> by_size;  // what waits
};

struct Page::Held {
  Held(Buffer m, std::shared_ptr<PagePool::Shared> p) : memory(std::move(m)), pool(std::move(p)) {}
  Held(const Held&) = delete;
  ~Held() { pool->give_back(std::move(memory)); }

  Buffer memory;
  std::shared_ptr<PagePool::Shared> pool;
  std::atomic<int64_t> n_holders = 1;
};

Page::Page(const Page& other) : held_(other.held_) {
  if (held_ != nullptr) held_->n_holders.fetch_add(1, std::memory_order_relaxed);
}

Page::~Page() {
  if (held_ != nullptr && held_->n_holders.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete held_;
  }
}

bool Page::is_shared() const {
  return held_ != nullptr && held_->n_holders.load(std::memory_order_acquire) > 1;
}

std::byte* Page::data() const { return held_ != nullptr ? held_->memory.data() : nullptr; }
uint64_t Page::size() const { return held_ != nullptr ? held_->memory.size() : 0; }

void PagePool::Shared::make_room(uint64_t bytes) {
  for (auto at = by_size.begin(); at != by_size.end() && used + waiting > budget - bytes;) {
    waiting -= at->first;
    at->second.pop_back();
    if (at->second.empty()) at = by_size.erase(at);
  }
}

Result<Buffer> PagePool::Shared::take(uint64_t bytes) {
  Buffer memory;
  {
    const std::lock_guard lock(mutex);
    if (bytes > budget - used) {
      return make_error(ErrorCode::kOverBudget,
                        "the memory of sequences is full: {} of {} bytes are in use, {} more are "
                        "needed; end a sequence or allow more memory",
                        used, budget, bytes);
    }
    const auto at = by_size.find(bytes);
    if (at != by_size.end()) {
      memory = std::move(at->second.back());
      at->second.pop_back();
      waiting -= bytes;
      if (at->second.empty()) by_size.erase(at);
    } else {
      make_room(bytes);
    }
    used += bytes;
  }
  if (memory.size() > 0) {
    std::memset(memory.data(), 0, memory.size());
    return memory;
  }
  auto fresh = Buffer::allocate(bytes);
  if (!fresh.ok()) {
    const std::lock_guard lock(mutex);
    used -= bytes;
  }
  return fresh;
}

void PagePool::Shared::give_back(Buffer memory) {
  const uint64_t bytes = memory.size();
  const std::lock_guard lock(mutex);
  used -= bytes;
  waiting += bytes;
  by_size[bytes].push_back(std::move(memory));
}

PagePool::PagePool(uint64_t budget_bytes) : shared_(std::make_shared<Shared>(budget_bytes)) {}

Result<Page> PagePool::draw(uint64_t bytes) const {
  Page page;
  if (bytes == 0) return page;
  LH_TRY(Buffer memory, shared_->take(bytes));
  page.held_ = new Page::Held(std::move(memory), shared_);
  return page;
}

uint64_t PagePool::budget_bytes() const { return shared_->budget; }

uint64_t PagePool::used_bytes() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->used;
}

}  // namespace longhaul
