#include "base/buffer.h"

#include <sys/mman.h>

#include <utility>

namespace longhaul {
namespace {
constexpr uint64_t kHugePage = uint64_t{2} << 20;
}

Result<Buffer> Buffer::allocate(uint64_t bytes) {
  Buffer buffer;
  if (bytes == 0) return buffer;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    return make_error(
        ErrorCode::kOverBudget,
        "cannot allocate {} bytes of memory; use a smaller --context or close other programs",
        bytes);
  // Only whole huge pages are asked for: rounding up would make the resident size differ from the
  // planned one.
  if (bytes >= 16 * kHugePage) ::madvise(data, bytes, MADV_HUGEPAGE);
  buffer.data_ = static_cast<std::byte*>(data);
  buffer.size_ = bytes;
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace longhaul
