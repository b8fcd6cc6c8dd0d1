// Scratch memory of a step: planned once, handed out by bumping a pointer, never grown.
//
// The same layout code runs twice: on an arena without memory, to count what it will need, and on the real one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/checked_math.h"

namespace longhaul {

class Arena {
 public:
  static constexpr int64_t kAlign = 64;

  Arena() = default;  // counts only
  explicit Arena(std::span<std::byte> memory) : base_(memory.data()), capacity_(memory.size()) {}

  template <class T>
  T* take(int64_t n) {
    const uint64_t begin = used_;
    used_ += static_cast<uint64_t>(round_up(n * static_cast<int64_t>(sizeof(T)), kAlign));
    peak_ = std::max(peak_, used_);
    if (base_ == nullptr) return nullptr;
    LH_CHECK(used_ <= capacity_);
    return reinterpret_cast<T*>(base_ + begin);
  }
  std::span<std::byte> take_bytes(uint64_t n) {
    std::byte* p = take<std::byte>(static_cast<int64_t>(n));
    return {p, p == nullptr ? 0 : n};
  }

  uint64_t used() const { return used_; }
  uint64_t peak() const { return peak_; }
  void reset_to(uint64_t used) { used_ = used; }

 private:
  std::byte* base_ = nullptr;
  uint64_t capacity_ = 0, used_ = 0, peak_ = 0;
};

// Gives back at the end of a scope what was taken in it.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.used()) {}
  ~ArenaScope() { arena_.reset_to(mark_); }
  ArenaScope(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  uint64_t mark_;
};

}  // namespace longhaul
