// Bytes of weights as a model is released: every weight in its own precision, with its scales.
#pragma once

#include "arch/architecture.h"

namespace longhaul {

// One weight, as it stands in the checkpoint: elements and scales, padding and file headers not
// counted.
uint64_t released_bytes(const WeightSpec& weight);

// All that the description names, each tensor's part once. Draft layers and whatever else a
// checkpoint holds unread are not in it.
struct ReleasedBytes {
  uint64_t total = 0;
  // by layer, what several use in the first; tables of all layers, head and last norm are in none
  std::vector<uint64_t> layers;
};
ReleasedBytes released_bytes(const Architecture& arch);

}  // namespace longhaul
