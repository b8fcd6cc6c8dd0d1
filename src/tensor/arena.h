// Scratch memory of a step: planned once, handed out by bumping a pointer, never grown.
//
// The same code runs twice: on an arena without memory, to count what it needs, and on a real one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/checked_math.h"
#include "tensor/rows.h"

namespace longhaul {

inline constexpr int64_t kCacheLine = 64;

class Arena {
 public:
  // Counts only. What it hands out has addresses as far apart as real memory would have, so that
  // views can be cut and compared; there is nothing behind them.
  Arena() : base_(reinterpret_cast<std::byte*>(kNowhere)) {}
  explicit Arena(std::span<std::byte> memory)
      : base_(memory.data()), capacity_(memory.size()), counts_only_(false) {
    LH_CHECK(reinterpret_cast<uintptr_t>(base_) % kCacheLine == 0);
  }

  // n elements, not initialised. Every array begins at a cache line.
  template <class T>
  T* take(int64_t n) {
    const uint64_t begin = used_;
    used_ += static_cast<uint64_t>(round_up(n * static_cast<int64_t>(sizeof(T)), kCacheLine));
    peak_ = std::max(peak_, used_);
    LH_CHECK(counts_only_ || used_ <= capacity_);
    return reinterpret_cast<T*>(base_ + begin);
  }
  template <class T>
  std::span<T> take_span(int64_t n) {
    return {take<T>(n), static_cast<size_t>(n)};
  }
  template <class T>
  Rows<T> take_rows(int64_t n, int64_t width) {
    return {take<T>(n * width), n, width};
  }
  std::span<std::byte> take_bytes(uint64_t n) {
    return take_span<std::byte>(static_cast<int64_t>(n));
  }

  bool counts_only() const { return counts_only_; }
  uint64_t used() const { return used_; }
  uint64_t peak() const { return peak_; }
  void reset_to(uint64_t used) { used_ = used; }

 private:
  static constexpr uintptr_t kNowhere = uintptr_t{1} << 62;  // no process has memory there

  std::byte* base_ = nullptr;
  uint64_t capacity_ = 0, used_ = 0, peak_ = 0;
  bool counts_only_ = true;
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
