// Cuts a caller's scratch memory into arrays; the same walk with no memory behind it gives the bytes needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/checked_math.h"

namespace longhaul {

inline constexpr int64_t kCacheLine = 64;

class ScratchCarver {
 public:
  ScratchCarver() = default;  // counts only
  explicit ScratchCarver(std::span<std::byte> memory) : memory_(memory) {
    LH_CHECK(reinterpret_cast<uintptr_t>(memory.data()) % kCacheLine == 0);
  }

  template <class T>
  T* take(int64_t count) {
    const auto bytes = static_cast<uint64_t>(round_up(count * static_cast<int64_t>(sizeof(T)), kCacheLine));
    const uint64_t at = used_;
    used_ += bytes;
    if (memory_.data() == nullptr) return nullptr;
    LH_CHECK(used_ <= memory_.size());
    return reinterpret_cast<T*>(memory_.data() + at);
  }

  uint64_t used_bytes() const { return used_; }

 private:
  std::span<std::byte> memory_;
  uint64_t used_ = 0;
};

}  // namespace longhaul
