#include "counting_allocator.h"

#include <atomic>
#include <cstddef>

// glibc's own entry points stand behind its public ones, which a program may define anew; operator
// new ends in malloc.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {
std::atomic<uint64_t> count{0};
}

namespace longhaul::testing {
uint64_t n_allocations() { return count.load(); }
}  // namespace longhaul::testing

extern "C" {

void* malloc(size_t n) {
  ++count;
  return __libc_malloc(n);
}

void* calloc(size_t n, size_t size) {
  ++count;
  return __libc_calloc(n, size);
}

void* realloc(void* p, size_t n) {
  ++count;
  return __libc_realloc(p, n);
}

void* memalign(size_t alignment, size_t n) {
  ++count;
  return __libc_memalign(alignment, n);
}

void* aligned_alloc(size_t alignment, size_t n) {
  ++count;
  return __libc_memalign(alignment, n);
}

int posix_memalign(void** out, size_t alignment, size_t n) {
  ++count;
  *out = __libc_memalign(alignment, n);
  return *out == nullptr ? 12 : 0;
}
}
