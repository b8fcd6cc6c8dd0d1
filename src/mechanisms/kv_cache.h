// What attention keeps per sequence and layer, and how many bytes that is.
//
// Full attention appends to pages of kPageSlots positions. Sliding attention keeps a ring of its window; a step's new rows wait beside it in an
// in-flight buffer until their last reader is done, because they would overwrite keys that earlier rows of the same step still see.
#pragma once

#include <span>

#include "arch/specs.h"
#include "kernels/attention.h"

namespace longhaul {

inline constexpr int64_t kPageSlots = 256;

inline KvLayout kv_layout(const StateSpec& spec, DType dtype) { return {spec.n_kv_heads, spec.head_dim, dtype}; }

// Slots allocated for a sequence of up to n_tokens: whole pages, or the ring (whole panels, at most the window).
inline int64_t kv_slots(const StateSpec& spec, int64_t n_tokens) {
  if (!spec.is_ring()) return round_up(n_tokens, kPageSlots);
  return round_up(std::min(n_tokens, spec.window), kPanel);
}

inline uint64_t kv_bytes(const StateSpec& spec, int64_t n_tokens, DType dtype) {
  if (spec.is_fixed()) return static_cast<uint64_t>(spec.fixed_elements) * bytes_per_element(dtype);
  return kv_layout(spec, dtype).block_bytes(kv_slots(spec, n_tokens));
}

// Slots of an in-flight buffer: every sequence's rows begin at a new panel.
inline int64_t in_flight_slots(int64_t max_rows, int64_t max_sequences) {
  return round_up(max_rows, kPanel) + (max_sequences - 1) * kPanel;
}

// Where rows [first_row, first_row + n_rows) of the step go.
struct KvWrite {
  std::byte* block = nullptr;
  int64_t slots = 0, first_slot = 0;
  int64_t first_row = 0, n_rows = 0;
};

// One layer's cache as a step sees it, this step's rows included.
struct KvStep {
  KvLayout layout;
  std::span<const KvWrite> writes;
  std::span<const std::span<const KvSegment>> segments;  // by sequence of the step
};

// A fixed block of each sequence of the step, read at its beginning and rewritten at its end.
struct FixedStep {
  DType dtype = DType::kF32;
  std::span<std::byte* const> blocks;  // by sequence of the step
};

}  // namespace longhaul
