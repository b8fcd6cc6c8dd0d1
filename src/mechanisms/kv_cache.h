// What attention keeps per sequence and layer, and how many bytes that is.
//
// Full attention appends to pages of kPageSlots rows. Compressed rows stand for several tokens;
// their pages are shorter where kPageSlots of them would span more than kMaxPageTokens, so that a
// short context does not pay for rows it never fills. Sliding attention keeps a ring of its window.
//
// A step changes none of it. Rows of pages go behind those that count; a ring's rows and what fixed
// blocks become wait in in-flight buffers until the caller says how many of the rows are accepted.
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

// Of a step of so many rows of a sequence, any first ones can be accepted; of a longer one, all or
// none. Fixed blocks are what sets the limit: behind each row that may be the last there is a copy.
inline constexpr int64_t kMaxPartialRows = 16;

// Copies of a fixed block that a step of n_rows of a sequence makes.
inline int64_t kept_blocks(int64_t n_rows) { return n_rows <= kMaxPartialRows ? n_rows : 1; }

// Slots of a ring's in-flight buffer: every sequence begins at a new panel, which may hold up to
// kPanel - 1 rows of before.
inline int64_t in_flight_slots(int64_t max_rows, int64_t max_sequences) {
  return round_up(max_rows, kPanel) + (2 * max_sequences - 1) * kPanel;
}

// Of steps with up to max_rows rows of up to max_sequences sequences; 0 of pages, which need none.
inline uint64_t in_flight_bytes(const StateSpec& spec, const StateFormat& format, int64_t max_rows,
                                int64_t max_sequences) {
  if (spec.is_paged()) return 0;
  if (spec.is_ring()) {
    return kv_layout(spec, format).block_bytes(in_flight_slots(max_rows, max_sequences));
  }
  const int64_t blocks = std::min(max_rows, kMaxPartialRows * max_sequences);
  return static_cast<uint64_t>(blocks) * kv_bytes(spec, 0, format);
}

}  // namespace longhaul
