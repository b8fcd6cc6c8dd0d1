// Counts what the whole program takes from the heap, malloc by C libraries included.
#pragma once

#include <cstdint>

namespace longhaul::testing {

uint64_t n_allocations();  // so far, of all threads

}  // namespace longhaul::testing
