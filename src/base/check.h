// Checks for our own bugs. No outside input may ever reach one: that is what Result is for.
#pragma once

namespace longhaul {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}

#define LH_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::longhaul::check_failed(#condition, __FILE__, __LINE__))

#ifdef NDEBUG
#define LH_DCHECK(condition) static_cast<void>(0)
#else
#define LH_DCHECK(condition) LH_CHECK(condition)
#endif
