#include "base/system.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

namespace longhaul {
namespace {

// The number behind `key` in a file of "key: value" lines; 0 where there is none.
uint64_t number_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    uint64_t value;
    if (word == key && file >> value) return value;
  }
  return 0;
}

// Memory left under the control group's limit; a group without one says "max".
uint64_t cgroup_left() {
  uint64_t limit = 0, used = 0;
  if (!(std::ifstream("/sys/fs/cgroup/memory.max") >> limit) ||
      !(std::ifstream("/sys/fs/cgroup/memory.current") >> used))
    return UINT64_MAX;
  // Cached file pages count as used and can be taken back.
  const uint64_t cached = number_in("/sys/fs/cgroup/memory.stat", "file");
  used -= std::min(used, cached);
  return limit > used ? limit - used : 0;
}

}  // namespace

uint64_t available_memory_bytes() {
  return std::min(number_in("/proc/meminfo", "MemAvailable:") * 1024, cgroup_left());
}

uint64_t resident_bytes() {
  uint64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

void reset_peak_resident() {
  if (std::FILE* f = std::fopen("/proc/self/clear_refs", "we")) {
    std::fputs("5", f);
    std::fclose(f);
  }
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace longhaul
