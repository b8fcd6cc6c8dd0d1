#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace longhaul {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "longhaul: internal check failed: %s (%s:%d); please report this\n",
               expression, file, line);
  std::abort();
}

}  // namespace longhaul
