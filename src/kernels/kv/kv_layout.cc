#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/numbers.h"
#include "kernels/codecs/mxfp4.h"
#include "kernels/kv/kv_layout.h"
#include "kernels/kv/row_coding.h"

namespace longhaul {
namespace {

int64_t element_bytes(const KvLayout& layout) {
  return static_cast<int64_t>(bytes_per_element(layout.dtype));
}

int64_t head_offset(const KvLayout& layout, int64_t slots, int64_t head) {
  return head * slots * static_cast<int64_t>(layout.bytes_per_slot()) / layout.n_kv_heads;
}

// Places, in elements from the head's start, of channel `d` of a slot.
int64_t key_place(const KvLayout& layout, int64_t slot, int64_t d) {
  const int64_t step = inputs_per_step(layout.dtype);
  return slot / kPanel * kPanel * layout.padded_dim() + d / step * step * kPanel +
         slot % kPanel * step + d % step;
}

int64_t value_place(const KvLayout& layout, int64_t slots, int64_t slot, int64_t d) {
  const int64_t step = inputs_per_step(layout.dtype);
  return slots * layout.padded_dim() + d / kPanel * kPanel * slots + slot / step * step * kPanel +
         d % kPanel * step + slot % step;
}

bool has_values(const KvLayout& layout) { return layout.rows == RowKind::kKeysAndValues; }

// Behind the head's keys and values.
float* scales_of(const KvLayout& layout, std::byte* block, int64_t slots, int64_t head) {
  const int64_t vectors = has_values(layout) ? 2 : 1;
  return reinterpret_cast<float*>(block + head_offset(layout, slots, head) +
                                  vectors * slots * layout.padded_dim());
}

// Round to nearest even; what is no number becomes 0 or an end of the range.
struct ToCode {
  float inverse;
  explicit ToCode(float scale) : inverse(scale > 0.0f ? 1.0f / scale : 0.0f) {}
  int8_t operator()(float x) const {
    const float code = std::nearbyint(x * inverse);
    return code >= -127.0f && code <= 127.0f ? static_cast<int8_t>(code)
           : code > 127.0f                   ? int8_t{127}
           : code < -127.0f                  ? int8_t{-127}
                                             : int8_t{0};
  }
};

// A vector into the places that at(channel) gives; of kI8, the scale with which the largest
// becomes code 127.
template <class T, class At>
float put_vector(const float* x, int64_t n, const At& at) {
  if constexpr (std::is_same_v<T, int8_t>) {
    float most = 0.0f;
    for_rotated_runs(x, n, [&](int64_t, std::span<const float> run) {
      for (const float v : run) most = std::max(most, std::abs(v));
    });
    const ToCode to_code(most / 127.0f);
    for_rotated_runs(x, n, [&](int64_t first, std::span<const float> run) {
      for (const float v : run) at(first++) = to_code(v);
    });
    return most / 127.0f;
  } else {
    for (int64_t d = 0; d < n; ++d) {
      if constexpr (std::is_same_v<T, bf16>)
        at(d) = to_bf16(x[d]);
      else
        at(d) = x[d];
    }
    return 1.0f;
  }
}

template <class T>
void store_shared(const KvLayout& layout, std::byte* block, int64_t slot, const float* k) {
  std::byte* row = block + static_cast<uint64_t>(slot) * layout.bytes_per_slot();
  for (int64_t head = 0; head < layout.n_kv_heads; ++head, row += layout.vector_bytes()) {
    auto* to = reinterpret_cast<T*>(row);
    const float scale = put_vector<T>(k + head * layout.head_dim, layout.head_dim,
                                      [&](int64_t d) -> T& { return to[d]; });
    if (layout.dtype == DType::kI8) std::memcpy(row + layout.padded_dim(), &scale, sizeof scale);
  }
}

template <class T>
void store_panels(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot,
                  const float* k, const float* v) {
  for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
    auto* base = reinterpret_cast<T*>(block + head_offset(layout, slots, head));
    const auto store = [&](const float* vector, bool is_value) {
      const float scale = put_vector<T>(vector, layout.head_dim, [&](int64_t d) -> T& {
        return base[is_value ? value_place(layout, slots, slot, d) : key_place(layout, slot, d)];
      });
      if (layout.dtype == DType::kI8)
        scales_of(layout, block, slots, head)[is_value ? slots + slot : slot] = scale;
    };
    store(k + head * layout.head_dim, false);
    if (has_values(layout)) store(v + head * layout.head_dim, true);
  }
}

template <class T>
void store_slot(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot,
                const float* k, const float* v) {
  if (layout.rows == RowKind::kShared) return store_shared<T>(layout, block, slot, k);
  store_panels<T>(layout, block, slots, slot, k, v);
}

// A position's vectors of one head, element by element.
template <class T>
void copy_slot(const KvLayout& layout, const T* from, int64_t from_slots, int64_t from_slot, T* to,
               int64_t to_slots, int64_t to_slot) {
  for (int64_t d = 0; d < layout.head_dim; ++d) {
    to[key_place(layout, to_slot, d)] = from[key_place(layout, from_slot, d)];
    if (has_values(layout))
      to[value_place(layout, to_slots, to_slot, d)] =
          from[value_place(layout, from_slots, from_slot, d)];
  }
}

// A whole panel of positions: its keys stand together, and so do its values of a panel of channels.
template <class T>
void copy_panel(const KvLayout& layout, const T* from, int64_t from_slots, int64_t from_slot, T* to,
                int64_t to_slots, int64_t to_slot) {
  std::copy_n(from + key_place(layout, from_slot, 0), kPanel * layout.padded_dim(),
              to + key_place(layout, to_slot, 0));
  for (int64_t d = 0; has_values(layout) && d < layout.padded_dim(); d += kPanel)
    std::copy_n(from + value_place(layout, from_slots, from_slot, d), kPanel * kPanel,
                to + value_place(layout, to_slots, to_slot, d));
}

template <class T>
void clear_values(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot) {
  const int64_t whole = round_up(slot, inputs_per_step(layout.dtype)), end = round_up(slot, kPanel);
  for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
    auto* base = reinterpret_cast<T*>(block + head_offset(layout, slots, head));
    for (int64_t d = 0; d < layout.padded_dim(); d += kPanel) {
      for (int64_t s = slot; s < whole; ++s) {
        for (int64_t c = d; c < d + kPanel; ++c) base[value_place(layout, slots, s, c)] = T{};
      }
      std::fill_n(base + value_place(layout, slots, whole, d), (end - whole) * kPanel, T{});
    }
  }
}

template <class T>
void copy_slots(const KvLayout& layout, const std::byte* from, int64_t from_slots,
                int64_t from_slot, std::byte* to, int64_t to_slots, int64_t to_slot, int64_t n) {
  for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
    const auto* source = reinterpret_cast<const T*>(from + head_offset(layout, from_slots, head));
    auto* target = reinterpret_cast<T*>(to + head_offset(layout, to_slots, head));
    for (int64_t i = 0; i < n;) {
      const bool is_panel =
          (from_slot + i) % kPanel == 0 && (to_slot + i) % kPanel == 0 && n - i >= kPanel;
      (is_panel ? copy_panel<T> : copy_slot<T>)(layout, source, from_slots, from_slot + i, target,
                                                to_slots, to_slot + i);
      i += is_panel ? kPanel : 1;
    }
    if (layout.dtype != DType::kI8) continue;
    const float* from_scales = scales_of(layout, const_cast<std::byte*>(from), from_slots, head);
    float* to_scales = scales_of(layout, to, to_slots, head);
    std::copy_n(from_scales + from_slot, n, to_scales + to_slot);
    if (has_values(layout))
      std::copy_n(from_scales + from_slots + from_slot, n, to_scales + to_slots + to_slot);
  }
}

}  // namespace

Panels KvLayout::keys(const std::byte* block, int64_t slots, int64_t head,
                      int64_t first_slot) const {
  LH_DCHECK(slots % kPanel == 0 && first_slot % kPanel == 0);
  const int64_t bytes = element_bytes(*this);
  return {block + head_offset(*this, slots, head) + first_slot * padded_dim() * bytes,
          padded_dim() * kPanel * bytes, kPanel * inputs_per_step(dtype) * bytes};
}

Panels KvLayout::values(const std::byte* block, int64_t slots, int64_t head,
                        int64_t first_slot) const {
  LH_DCHECK(slots % kPanel == 0 && first_slot % kPanel == 0);
  const int64_t bytes = element_bytes(*this);
  return {block + head_offset(*this, slots, head) +
              (slots * padded_dim() + first_slot * kPanel) * bytes,
          slots * kPanel * bytes, kPanel * inputs_per_step(dtype) * bytes};
}

const float* KvLayout::key_scales(const std::byte* block, int64_t slots, int64_t head) const {
  return scales_of(*this, const_cast<std::byte*>(block), slots, head);
}

const float* KvLayout::value_scales(const std::byte* block, int64_t slots, int64_t head) const {
  return key_scales(block, slots, head) + slots;
}

namespace {

void store_fp4_key(const KvLayout& layout, std::byte* block, int64_t slot, const float* k) {
  LH_DCHECK(layout.n_kv_heads == 1 && layout.head_dim == kQuantBlock);
  float rotated[kQuantBlock];
  std::copy_n(k, kQuantBlock, rotated);
  hadamard(rotated, kQuantBlock);
  auto* panel = reinterpret_cast<uint8_t*>(block) +
                slot / kPanel * kPanel * static_cast<int64_t>(layout.bytes_per_slot());
  const int64_t lane = slot % kPanel;
  for (int64_t g = 0; g < kBlockGroups; ++g) {
    const Fp4Group group = encode_fp4_group(rotated + g * kQuantGroup);
    panel[g * kPanel + lane] = group.scale;
    for (int64_t i = 0; i < kQuantGroup; ++i) {
      const int64_t input = g * kQuantGroup + i;
      uint8_t& pair = panel[Mxfp4Blocks::kScaleBytes + Mxfp4Blocks::code_at(lane, input)];
      const uint8_t code = group.codes[static_cast<size_t>(i)];
      pair = input % 8 < 4 ? static_cast<uint8_t>((pair & 0xf0) | code)
                           : static_cast<uint8_t>((pair & 0x0f) | code << 4);
    }
  }
}

void store_coded(const KvLayout& layout, std::byte* block, int64_t slot, const float* k) {
  if (layout.format.coding == RowCoding::kMxFp4) return store_fp4_key(layout, block, slot, k);
  LH_CHECK(layout.rows == RowKind::kShared && layout.n_kv_heads == 1 &&
           layout.format.coding == RowCoding::kFp8ByE8M0);
  encode_fp8_row(layout.format, k, layout.head_dim,
                 block + static_cast<uint64_t>(slot) * layout.bytes_per_slot());
}

}  // namespace

void store_kv(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot, const float* k,
              const float* v) {
  LH_DCHECK(slots % kPanel == 0 && slot >= 0 && slot < slots);
  if (layout.format.coding != RowCoding::kPlain) return store_coded(layout, block, slot, k);
  switch (layout.dtype) {
    case DType::kF32: return store_slot<float>(layout, block, slots, slot, k, v);
    case DType::kBF16: return store_slot<bf16>(layout, block, slots, slot, k, v);
    case DType::kI8: return store_slot<int8_t>(layout, block, slots, slot, k, v);
    default: LH_CHECK(!"a dtype of rows");
  }
}

void copy_kv(const KvLayout& layout, const std::byte* from, int64_t from_slots, int64_t from_slot,
             std::byte* to, int64_t to_slots, int64_t to_slot, int64_t n) {
  LH_DCHECK(from_slot + n <= from_slots && to_slot + n <= to_slots);
  if (layout.rows == RowKind::kShared) {
    const uint64_t bytes = layout.bytes_per_slot();
    std::memcpy(to + static_cast<uint64_t>(to_slot) * bytes, layout.shared_row(from, from_slot),
                static_cast<uint64_t>(n) * bytes);
    return;
  }
  LH_CHECK(layout.format.coding == RowCoding::kPlain);  // coded keys stay in their pages
  switch (layout.dtype) {
    case DType::kF32:
      return copy_slots<float>(layout, from, from_slots, from_slot, to, to_slots, to_slot, n);
    case DType::kBF16:
      return copy_slots<bf16>(layout, from, from_slots, from_slot, to, to_slots, to_slot, n);
    case DType::kI8:
      return copy_slots<int8_t>(layout, from, from_slots, from_slot, to, to_slots, to_slot, n);
    default: LH_CHECK(!"a dtype of rows");
  }
}

void clear_values_from(const KvLayout& layout, std::byte* block, int64_t slots, int64_t slot) {
  if (slot % kPanel == 0 || !has_values(layout) || layout.is_coded()) return;
  layout.dtype == DType::kF32 ? clear_values<float>(layout, block, slots, slot)
                              : clear_values<bf16>(layout, block, slots, slot);
}

}  // namespace longhaul
