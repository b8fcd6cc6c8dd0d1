// Weights as small integers with scales by groups: what the blocks of quantised files decode to,
// whatever their layout, and what panels of integers are packed from.
//
//   weight i = (scales[i / run] * multipliers[g]) * levels[i] - min_scale * mins[g]     g = i /
//   group
//
// In f32, in this order and without the last term where there are no mins, this is the value that
// the file's format defines, bit for bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace longhaul {

// What a kind of block has of each. All are powers of two, and n_weights >= run >= group.
struct CodeGrouping {
  uint32_t n_weights = 0;
  uint32_t group = 0;  // weights that share a multiplier and a min
  uint32_t run = 0;    // weights that share a scale
  bool has_mins = false;

  constexpr uint32_t n_groups() const { return n_weights / group; }
  constexpr uint32_t n_scales() const { return n_weights / run; }
};

// One block. What lies beyond the numbers of its grouping is unspecified.
struct GroupedCodes {
  static constexpr int kMaxWeights = 256, kMaxGroups = 16, kMaxScales = 4;

  alignas(64) std::array<int8_t, kMaxWeights> levels;
  std::array<int8_t, kMaxGroups> multipliers;  // 1 where a group has a scale of its own
  std::array<uint8_t, kMaxGroups> mins;
  std::array<float, kMaxScales> scales;
  float min_scale;
};

// How blocks of a type become these. Whoever decodes has checked their scales.
struct BlockDecoder {
  CodeGrouping grouping;
  int64_t block_bytes = 0;
  void (*decode)(const std::byte* block, GroupedCodes& codes) = nullptr;
};

}  // namespace longhaul
