// A toy weight format, to show what a format is: one file, one row. Each weight is its sign times
// the mean magnitude of 64 inputs of its output.
//   block  of 64 inputs: 16 f32 scales, then 16 x 8 bytes of signs, a bit an input
#pragma once

#include <bit>
#include <cmath>
#include <cstring>

#include "base/numbers.h"
#include "kernels/codecs/codecs.h"
#include "tensor/float_at.h"

namespace longhaul::testing {

namespace sign {

constexpr int64_t kInputs = 64, kScaleBytes = kPanel * 4, kSignBytes = 8;
constexpr PanelLayout kLayout = {.block_inputs = kInputs,
                                 .block_bytes = kScaleBytes + kPanel * kSignBytes};

struct Block {
  float scale;
  uint64_t signs;  // bit i: input i is negative
};

inline std::byte* block_at(std::byte* panel, int64_t block) {
  return panel + block * kLayout.block_bytes;
}

inline Block load(const std::byte* panel, int64_t block, int64_t output) {
  const std::byte* at = panel + block * kLayout.block_bytes;
  Block b;
  std::memcpy(&b.scale, at + output * 4, sizeof b.scale);
  std::memcpy(&b.signs, at + kScaleBytes + output * kSignBytes, sizeof b.signs);
  return b;
}

inline float weight(const Block& b, int64_t i) { return b.signs >> i & 1 ? -b.scale : b.scale; }

inline Result<QuantError> pack(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  std::memset(out, 0, static_cast<size_t>(ceil_div(n_rows, kPanel) * kLayout.panel_bytes(k)));
  QuantError error;
  for (int64_t r = 0; r < n_rows; ++r) {
    std::byte* panel = out + r / kPanel * kLayout.panel_bytes(k);
    for (int64_t first = 0; first < k; first += kInputs) {
      const int64_t n = std::min(kInputs, k - first);
      const auto w = [&](int64_t i) {
        return float_at(rows.data, rows.type.elements, r * k + first + i);
      };
      Block b{0.0f, 0};
      for (int64_t i = 0; i < n; ++i) {
        b.scale += std::abs(w(i)) / static_cast<float>(n);
        b.signs |= static_cast<uint64_t>(w(i) < 0) << i;
      }
      std::byte* at = block_at(panel, first / kInputs);
      std::memcpy(at + r % kPanel * 4, &b.scale, sizeof b.scale);
      std::memcpy(at + kScaleBytes + r % kPanel * kSignBytes, &b.signs, sizeof b.signs);
      for (int64_t i = 0; i < n; ++i) {
        error.squared_error += std::pow(double{w(i)} - double{weight(b, i)}, 2);
        error.squared_weights += std::pow(double{w(i)}, 2);
      }
    }
  }
  return error;
}

inline void unpack(const PackedMatrix& m, int64_t row, float* out) {
  const std::byte* panel = m.data + row / kPanel * m.panel_bytes();
  for (int64_t i = 0; i < m.k; ++i)
    out[i] = weight(load(panel, i / kInputs, row % kPanel), i % kInputs);
}

inline void multiply(const MatmulTile& t) {
  for (int64_t m = 0; m < t.m; ++m) {
    const bf16* inputs = static_cast<const bf16*>(t.a) + m * t.a_stride;
    for (int64_t n = 0; n < t.n; ++n) {
      const std::byte* panel = t.b.data + n / kPanel * t.b.panel_stride;
      float& c = t.c[m * t.c_stride + n];
      double sum = t.accumulate ? double{c} : 0.0;
      for (int64_t i = 0; i < t.k; ++i)
        sum += double{to_f32(inputs[i])} *
               double{weight(load(panel, i / kInputs, n % kPanel), i % kInputs)};
      c = static_cast<float>(sum);
    }
  }
}

}  // namespace sign

inline constinit const Codec kSignCodec = {
    .name = "SIGN",
    .suffix = "sign",
    .option = "sign",
    .layout = sign::kLayout,
    .inputs = InputCoding::kBf16,
    .rms_error = 0.61,
    .finer = &kQ8Codec,
    .unrounded = &kBf16Codec,
    .pack = sign::pack,
    .unpack = sign::unpack,
    .product = sign::multiply,
};

}  // namespace longhaul::testing
