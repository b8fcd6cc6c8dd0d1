// What the system says about memory and time.
#pragma once

#include <cstdint>

namespace longhaul {

uint64_t
available_memory_bytes();        // what could be allocated without swapping; honours a cgroup limit
uint64_t resident_bytes();       // of this process now
uint64_t peak_resident_bytes();  // of this process so far
void reset_peak_resident();      // it counts from now on; where the system allows it
double now_seconds();            // monotonic

}  // namespace longhaul
