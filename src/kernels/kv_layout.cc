#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/numbers.h"
#include "kernels/attention.h"

namespace longhaul {
namespace {

int64_t element_bytes(const KvLayout& layout) { return static_cast<int64_t>(bytes_per_element(layout.dtype)); }

int64_t head_offset(const KvLayout& layout, int64_t slots, int64_t head) {
  return head * slots * static_cast<int64_t>(layout.bytes_per_slot()) / layout.n_kv_heads;
}

// Places, in elements from the head's start, of channel `d` of a slot.
int64_t key_place(const KvLayout& layout, int64_t slot, int64_t d) {
  const int64_t step = inputs_per_step(layout.dtype);
  return slot / kPanel * kPanel * layout.padded_dim() + d / step * step * kPanel + slot % kPanel * step + d % step;
}

int64_t value_place(const KvLayout& layout, int64_t slots, int64_t slot, int64_t d) {
  const int64_t step = inputs_per_step(layout.dtype);
  return slots * layout.padded_dim() + d / kPanel * kPanel * slots + slot / step * step * kPanel + d % kPanel * step + slot % step;
}

bool has_values(const KvLayout& layout) { return layout.rows == RowKind::kKeysAndValues; }

template <class T, class Convert>
void store_slot(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot, const float* k, const float* v, Convert convert) {
  if (layout.rows == RowKind::kShared) {
    auto* row = reinterpret_cast<T*>(block) + slot * layout.n_kv_heads * layout.padded_dim();
    for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
      const float* from = k + head * layout.head_dim;
      std::transform(from, from + layout.head_dim, row + head * layout.padded_dim(), convert);
    }
    return;
  }
  for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
    auto* base = reinterpret_cast<T*>(block + head_offset(layout, slots, head));
    for (int64_t d = 0; d < layout.head_dim; ++d) {
      base[key_place(layout, slot, d)] = convert(k[head * layout.head_dim + d]);
      if (has_values(layout)) base[value_place(layout, slots, slot, d)] = convert(v[head * layout.head_dim + d]);
    }
  }
}

template <class T>
void copy_slot(const KvLayout& layout, const std::byte* from, int64_t from_slots, int64_t from_slot, std::byte* to, int64_t to_slots,
               int64_t to_slot) {
  if (layout.rows == RowKind::kShared) {
    const uint64_t bytes = layout.bytes_per_slot();
    std::memcpy(to + static_cast<uint64_t>(to_slot) * bytes, layout.shared_row(from, from_slot), bytes);
    return;
  }
  for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
    const auto* source = reinterpret_cast<const T*>(from + head_offset(layout, from_slots, head));
    auto* target = reinterpret_cast<T*>(to + head_offset(layout, to_slots, head));
    for (int64_t d = 0; d < layout.head_dim; ++d) {
      target[key_place(layout, to_slot, d)] = source[key_place(layout, from_slot, d)];
      if (has_values(layout)) target[value_place(layout, to_slots, to_slot, d)] = source[value_place(layout, from_slots, from_slot, d)];
    }
  }
}

}  // namespace

Panels KvLayout::keys(const std::byte* block, int64_t slots, int64_t head, int64_t first_slot) const {
  LH_DCHECK(slots % kPanel == 0 && first_slot % kPanel == 0);
  const int64_t bytes = element_bytes(*this);
  return {block + head_offset(*this, slots, head) + first_slot * padded_dim() * bytes, padded_dim() * kPanel * bytes,
          kPanel * inputs_per_step(dtype) * bytes};
}

Panels KvLayout::values(const std::byte* block, int64_t slots, int64_t head, int64_t first_slot) const {
  LH_DCHECK(slots % kPanel == 0 && first_slot % kPanel == 0);
  const int64_t bytes = element_bytes(*this);
  return {block + head_offset(*this, slots, head) + (slots * padded_dim() + first_slot * kPanel) * bytes, slots * kPanel * bytes,
          kPanel * inputs_per_step(dtype) * bytes};
}

void store_kv(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot, const float* k, const float* v) {
  LH_DCHECK(slots % kPanel == 0 && slot >= 0 && slot < slots);
  if (layout.dtype == DType::kF32) {
    store_slot<float>(layout, block, slots, slot, k, v, [](float x) { return x; });
  } else {
    store_slot<bf16>(layout, block, slots, slot, k, v, [](float x) { return to_bf16(x); });
  }
}

void copy_kv(const KvLayout& layout, const std::byte* from, int64_t from_slots, int64_t from_slot, std::byte* to, int64_t to_slots,
             int64_t to_slot) {
  if (layout.dtype == DType::kF32) {
    copy_slot<float>(layout, from, from_slots, from_slot, to, to_slots, to_slot);
  } else {
    copy_slot<bf16>(layout, from, from_slots, from_slot, to, to_slots, to_slot);
  }
}

}  // namespace longhaul
