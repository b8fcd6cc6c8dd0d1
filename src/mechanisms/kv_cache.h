// What attention keeps per sequence and layer, and how many bytes that is.
//
// Full attention appends to pages of kPageSlots rows. Compressed rows stand for several tokens;
// their pages are shorter where kPageSlots of them would span more than kMaxPageTokens, so that a
// short context does not pay for rows it never fills. Sliding attention keeps a ring of its window;
// a step's new rows wait beside it in an in-flight buffer until their last reader is done, because
// they would overwrite keys that earlier rows of the same step still see.
#pragma once

#include <span>

#include "arch/specs.h"
#include "kernels/kv/step_rows.h"
#include "tensor/state_format.h"

namespace longhaul {

inline constexpr int64_t kPageSlots = 256;
inline constexpr int64_t kMaxPageTokens = 4096;

// dtype: of rows in plain elements; those of a model without a format of its own stay plain
// whatever the format asked for.
inline KvLayout kv_layout(const StateSpec& spec, const StateFormat& format) {
  return {spec.n_kv_heads, spec.head_dim, format.dtype, spec.rows,
          format.cache == CacheFormat::kReleased ? spec.released : RowFormat{}};
}

inline int64_t page_slots(const StateSpec& spec) {
  return std::clamp(round_up(kMaxPageTokens / spec.ratio, kPanel), kPanel, kPageSlots);
}

// Slots allocated for a sequence of up to n_tokens: whole pages, or the ring (whole panels, at most
// the window).
inline int64_t kv_slots(const StateSpec& spec, int64_t n_tokens) {
  if (!spec.is_ring()) return round_up(n_tokens / spec.ratio, page_slots(spec));
  return round_up(std::min(n_tokens, spec.window), kPanel);
}

// Fixed blocks are small and stay in f32 whatever the format of rows: rounded at the end of each
// step, they would make results depend on where steps end.
inline uint64_t kv_bytes(const StateSpec& spec, int64_t n_tokens, const StateFormat& format) {
  if (spec.is_fixed()) return static_cast<uint64_t>(spec.fixed_elements) * sizeof(float);
  return kv_layout(spec, format).block_bytes(kv_slots(spec, n_tokens));
}

// Slots of an in-flight buffer: every sequence begins at a new panel, which may hold up to kPanel -
// 1 rows of before.
inline int64_t in_flight_slots(int64_t max_rows, int64_t max_sequences) {
  return round_up(max_rows, kPanel) + (2 * max_sequences - 1) * kPanel;
}

}  // namespace longhaul
