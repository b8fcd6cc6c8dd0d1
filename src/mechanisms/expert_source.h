// Experts that are not all in memory: mechanisms ask for those that tokens chose.
#pragma once

#include <cstdint>
#include <span>

#include "arch/weights.h"
#include "kernels/ops.h"

namespace longhaul {

class ExpertSource {
 public:
  virtual ~ExpertSource() = default;

  // Brings experts of a mixture into memory: as many of `wanted` as fit at once, at least one. They
  // are moved to the front of the list, ascending; returns how many. They stay until the next call.
  // Not to be called in a parallel region.
  //   of_mixture  the matrix of any part of its experts
  virtual int64_t acquire(WeightId of_mixture, std::span<ExpertRows> wanted) = 0;

  // A matrix of an expert that the last call brought.
  virtual PackedMatrix expert(WeightId weight, int64_t e) const = 0;

  // Whether some expert that was brought since the last call of this could not be packed: its
  // weights or scales are no numbers. What was computed with it means nothing. It is held no
  // longer: who chooses it again is told again, and the other experts serve on.
  virtual bool take_damage() = 0;
};

}  // namespace longhaul
