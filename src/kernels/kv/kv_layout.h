// How cached keys and values lie in memory, and how a step's reader finds them there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/codecs/panels.h"
#include "tensor/row_format.h"
#include "tensor/row_kind.h"

namespace longhaul {

// How keys and values of `slots` positions lie in one block of memory. Slots are a multiple of
// kPanel; per key head, first the keys as panels over slots (K = head_dim inputs), then the values
// as panels over channels (K = slots inputs); head_dim is padded to kPanel. Keys alone are the
// first of the two. Shared rows are neither: they lie one after another, and whoever multiplies
// packs them. In 8 bits (kI8) a vector is rotated (row_coding.h), then codes times one f32 scale:
// codes lie as bf16 would; behind a head's vectors the scales of its keys and of its values by
// slot, of a shared row the scale behind its codes. Rows with a format of their own (row_coding.h):
// shared rows one after another; keys in MXFP4 by 16, the scales of a panel's groups, then its
// codes as in a block of it (quant_blocks.h).
struct KvLayout {
  int64_t n_kv_heads = 0, head_dim = 0;
  DType dtype = DType::kBF16;  // kF32, kBF16 or kI8
  RowKind rows = RowKind::kKeysAndValues;
  RowFormat format = {};

  int64_t padded_dim() const { return round_up(head_dim, kPanel); }
  uint64_t bytes_per_slot() const {
    const uint64_t vectors = rows == RowKind::kKeysAndValues ? 2 : 1;
    if (format.coding != RowCoding::kPlain)
      return vectors * static_cast<uint64_t>(n_kv_heads) * coded_row_bytes(format, head_dim);
    return vectors * static_cast<uint64_t>(n_kv_heads) * vector_bytes();
  }
  uint64_t vector_bytes() const {
    return static_cast<uint64_t>(padded_dim()) * bytes_per_element(dtype) +
           (dtype == DType::kI8 ? sizeof(float) : 0);
  }
  bool is_rotated() const { return dtype == DType::kI8 && format.coding == RowCoding::kPlain; }
  bool is_coded() const { return dtype == DType::kI8 || format.coding != RowCoding::kPlain; }
  uint64_t block_bytes(int64_t slots) const {
    return bytes_per_slot() * static_cast<uint64_t>(slots);
  }
  Panels keys(const std::byte* block, int64_t slots, int64_t head,
              int64_t first_slot) const;  // first_slot: multiple of kPanel
  Panels values(const std::byte* block, int64_t slots, int64_t head,
                int64_t first_slot) const;  // likewise
  // Of kI8, by slot.
  const float* key_scales(const std::byte* block, int64_t slots, int64_t head) const;
  const float* value_scales(const std::byte* block, int64_t slots, int64_t head) const;
  const std::byte* shared_row(const std::byte* block, int64_t slot) const {
    return block + static_cast<uint64_t>(slot) * bytes_per_slot();
  }
};

// Writes one position: k and v are [G, head_dim] f32, v unused where rows hold no values of their
// own. The block must have been zeroed when it was allocated.
void store_kv(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot, const float* k,
              const float* v);
// Copies n consecutive positions between blocks of the same layout, as stored; panels that are
// whole on both sides as one.
void copy_kv(const KvLayout& layout, const std::byte* from, int64_t from_slots, int64_t from_slot,
             std::byte* to, int64_t to_slots, int64_t to_slot, int64_t n);

// Zeroes the values between a slot and the end of its panel. Products take whole panels, where rows
// that are not there have weight 0; what an abandoned step or another sequence left in their place
// may be no number, and 0 times that is none either. Keys and 8-bit codes need no such care: a key
// makes a score of its own, and a code is always a number.
void clear_values_from(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot);

// A run of consecutive positions inside one block: slot s holds position first_pos + (s - begin),
// begin <= s < end. A position stands in a slot that is equal to it modulo kPanel, and the visible
// ones of an aligned panel of positions in one segment: pairs and panels of keys are then the same
// wherever they are kept.
struct KvSegment {
  const std::byte* block = nullptr;
  int64_t slots = 0;
  int64_t begin = 0, end = 0;
  int64_t first_pos = 0;

  int64_t end_pos() const { return first_pos + end - begin; }
  int64_t slot_of(int64_t position) const { return position - first_pos + begin; }
};

// The segment that holds a position; segments ascend.
inline const KvSegment& segment_with(std::span<const KvSegment> segments, int64_t position) {
  return *std::partition_point(segments.begin(), segments.end(),
                               [&](const KvSegment& s) { return s.end_pos() <= position; });
}

}  // namespace longhaul
