// The integers that 4-bit codes of published formats mean.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace longhaul {

using CodeLevels = std::array<int8_t, 16>;

// E2M1 (OCP Microscaling Formats 1.0), doubled.
inline constexpr CodeLevels kE2m1Levels = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
// ggml's IQ4_NL and IQ4_XS.
inline constexpr CodeLevels kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// The code of each level, by the level's byte; the lowest of equals. 0 of what is no level.
constexpr std::array<uint8_t, 256> codes_by_level(const CodeLevels& levels) {
  std::array<uint8_t, 256> codes{};
  for (size_t code = levels.size(); code-- > 0;)
    codes[static_cast<uint8_t>(levels[code])] = static_cast<uint8_t>(code);
  return codes;
}

}  // namespace longhaul
