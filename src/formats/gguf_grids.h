// The grids of GGUF's codebook types (IQ1, IQ2, IQ3): a code of a file is a row of one, eight or
// four levels. Chosen once by search, so they can be carried but not derived.
#pragma once

#include <array>
#include <cstdint>

namespace longhaul {

// Level i of a row is its byte i, the lowest first.
extern const std::array<uint64_t, 256> kIq2XxsGrid;  // 8, 25, 43
extern const std::array<uint64_t, 512> kIq2XsGrid;   // 8, 25, 43
extern const std::array<uint64_t, 1024> kIq2SGrid;   // 8, 25, 43
extern const std::array<uint32_t, 256> kIq3XxsGrid;  // 4, 12, 20, 28, 36, 44, 52, 62
extern const std::array<uint32_t, 512> kIq3SGrid;    // 1, 3, .. 15
extern const std::array<uint64_t, 2048> kIq1Grid;    // -8, 0, 8: eighths

}  // namespace longhaul
