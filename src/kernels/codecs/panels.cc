#include "kernels/codecs/panels.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/numbers.h"

namespace longhaul {
namespace {

// inputs packed at once: the written block (at most 8 KiB) stays in L1 while 16 rows pass through
// it
constexpr int64_t kBlock = 128;

float widen(float x) { return x; }
float widen(bf16 x) { return to_f32(x); }
float widen(f16 x) { return to_f32(x); }

template <class Out, class In>
Out convert(In x) {
  if constexpr (std::is_same_v<Out, In>) {
    return x;
  } else if constexpr (std::is_same_v<Out, bf16>) {
    return to_bf16(widen(x));
  } else {
    return widen(x);
  }
}

// Tensors in a file need not be aligned to their elements.
template <class In>
In load(const std::byte* rows, int64_t i) {
  In x;
  std::memcpy(&x, rows + i * static_cast<int64_t>(sizeof(In)), sizeof(In));
  return x;
}

template <class Out, class In>
void pack_panel(const std::byte* rows, int64_t n_rows, int64_t k, int64_t step, Out* out) {
  const int64_t padded_k = round_up(k, step);
  for (int64_t block = 0; block < padded_k; block += kBlock) {
    const int64_t block_end = std::min(block + kBlock, padded_k);
    for (int64_t lane = 0; lane < kPanel; ++lane) {
      const int64_t filled_end = lane < n_rows ? std::min(block_end, k) : block;
      Out* to = out + lane * step;
      for (int64_t i = block; i < filled_end; ++i)
        to[i / step * kPanel * step + i % step] = convert<Out>(load<In>(rows, lane * k + i));
      for (int64_t i = filled_end; i < block_end; ++i)
        to[i / step * kPanel * step + i % step] = Out{};
    }
  }
}

template <class Out, class In>
void pack(const void* source, int64_t n_rows, int64_t k, DType packed, std::byte* out) {
  const int64_t panel_bytes = PackedMatrix{nullptr, packed, 0, k}.panel_bytes();
  const int64_t step = inputs_per_step(packed);
  for (int64_t row = 0; row < n_rows; row += kPanel) {
    pack_panel<Out, In>(
        static_cast<const std::byte*>(source) + row * k * static_cast<int64_t>(sizeof(In)),
        std::min(kPanel, n_rows - row), k, step,
        reinterpret_cast<Out*>(out + row / kPanel * panel_bytes));
  }
}

template <class Out>
void pack_as(const void* source, DType source_dtype, int64_t n_rows, int64_t k, DType packed,
             std::byte* out) {
  switch (source_dtype) {
    case DType::kF32: return pack<Out, float>(source, n_rows, k, packed, out);
    case DType::kF16: return pack<Out, f16>(source, n_rows, k, packed, out);
    case DType::kBF16: return pack<Out, bf16>(source, n_rows, k, packed, out);
    default: LH_CHECK(!"source dtype is f32, f16 or bf16");
  }
}

}  // namespace

void pack_rows(const void* source, DType source_dtype, int64_t first_row, int64_t n_rows, int64_t k,
               DType packed, std::byte* out) {
  LH_CHECK(first_row % kPanel == 0);
  LH_CHECK(packed == DType::kF32 || packed == DType::kBF16);
  std::byte* place = out + first_row / kPanel * PackedMatrix{nullptr, packed, 0, k}.panel_bytes();
  if (packed == DType::kF32) {
    pack_as<float>(source, source_dtype, n_rows, k, packed, place);
  } else {
    pack_as<bf16>(source, source_dtype, n_rows, k, packed, place);
  }
}

}  // namespace longhaul
