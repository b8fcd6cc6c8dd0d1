// Cuts a caller's scratch memory into arrays; the same walk with no memory behind it gives the bytes needed.
#pragma once

#include "tensor/arena.h"

namespace longhaul {

class ScratchCarver : public Arena {
 public:
  using Arena::Arena;
  uint64_t used_bytes() const { return used(); }
};

}  // namespace longhaul
