// What the plain codecs share: elements of one float type, as panels.h lays them out.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/numbers.h"
#include "kernels/codecs/codec.h"

namespace longhaul::plain_panels {

inline float widen(float x) { return x; }
inline float widen(bf16 x) { return to_f32(x); }
inline float widen(f16 x) { return to_f32(x); }

template <class T>
inline constexpr int64_t kStep = std::is_same_v<T, float> ? 1 : 2;  // inputs

template <class T>
inline constexpr PanelLayout kLayout = {
    .block_inputs = kStep<T>, .block_bytes = kPanel * kStep<T> * static_cast<int64_t>(sizeof(T))};

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
void pack_panel(const std::byte* rows, int64_t n_rows, int64_t k, Out* out) {
  // inputs packed at once: the written block (at most 8 KiB) stays in L1 while 16 rows pass through
  // it
  constexpr int64_t kBlock = 128, step = kStep<Out>;
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
void pack_as(const std::byte* rows, int64_t n_rows, int64_t k, std::byte* out) {
  const int64_t panel_bytes = kLayout<Out>.panel_bytes(k);
  for (int64_t row = 0; row < n_rows; row += kPanel) {
    pack_panel<Out, In>(rows + row * k * static_cast<int64_t>(sizeof(In)),
                        std::min(kPanel, n_rows - row), k,
                        reinterpret_cast<Out*>(out + row / kPanel * panel_bytes));
  }
}

// To bf16 f32 and f16 are rounded to nearest even.
template <class Out>
Result<QuantError> pack(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(rows.scales == nullptr);
  switch (rows.type.elements) {
    case DType::kF32: pack_as<Out, float>(rows.data, n_rows, k, out); break;
    case DType::kF16: pack_as<Out, f16>(rows.data, n_rows, k, out); break;
    case DType::kBF16: pack_as<Out, bf16>(rows.data, n_rows, k, out); break;
    default: LH_CHECK(!"source dtype is f32, f16 or bf16");
  }
  return QuantError{};
}

template <class T>
void unpack(const PackedMatrix& m, int64_t row, float* out) {
  constexpr int64_t step = kStep<T>;
  const auto* panel = reinterpret_cast<const T*>(m.data + row / kPanel * m.panel_bytes());
  for (int64_t i = 0; i < m.k; ++i)
    out[i] = widen(panel[i / step * kPanel * step + row % kPanel * step + i % step]);
}

// Sums in f64, rounded to f32 every kPanel inputs, so that callers may cut k there, as they do,
// without changing a bit.
template <class T>
void multiply(const MatmulTile& t) {
  constexpr int64_t step = kStep<T>;
  for (int64_t m = 0; m < t.m; ++m) {
    const T* a = static_cast<const T*>(t.a) + m * t.a_stride;
    for (int64_t n = 0; n < t.n; ++n) {
      const std::byte* panel = t.b.data + n / kPanel * t.b.panel_stride;
      float total = t.accumulate ? t.c[m * t.c_stride + n] : 0.0f;
      for (int64_t k = 0; k < t.k;) {
        double sum = total;
        for (const int64_t end = std::min(t.k, k + kPanel); k < end; ++k) {
          const T* b = reinterpret_cast<const T*>(panel + k / step * t.b.step_stride);
          sum += double{widen(a[k])} * double{widen(b[n % kPanel * step + k % step])};
        }
        total = static_cast<float>(sum);
      }
      t.c[m * t.c_stride + n] = total;
    }
  }
}

}  // namespace longhaul::plain_panels
