// Parts of a description in words; what a mixer is, it says itself (arch/mixer.h).
#pragma once

#include <string>

#include "arch/architecture.h"

namespace longhaul {

// "a ring of 512 rows of 1 x 256, keys and values".
std::string describe(const StateSpec& state);

// One letter a layer, its mixer's own; in lower case where the layer reads another's cache, '-'
// where no mixer of it has one.
struct Schedule {
  std::string letters;
  std::vector<ScheduleLetter> legend;  // the letters that occur, each once
};
Schedule schedule(const Architecture& arch);
std::string layer_schedule(const Architecture& arch);

}  // namespace longhaul
