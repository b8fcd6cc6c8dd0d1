// Zeroed memory of its own pages: aligned, huge pages asked for where it is large, returned to the
// system when freed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/errors.h"

namespace longhaul {

class Buffer {
 public:
  Buffer() = default;
  static Result<Buffer> allocate(uint64_t bytes);  // kOverBudget where the system refuses
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace longhaul
