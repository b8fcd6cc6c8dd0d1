#include "kernels/codecs/e4m3.h"

#include "base/check.h"
#include "kernels/codecs/codecs.h"
#include "kernels/codecs/rounding.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr PanelLayout kLayout = E4m3Blocks::kLayout;

// Codes stand row by row, [n, k]; scales a square of 128 x 128 each, [ceil(n / 128),
// ceil(k / 128)]. A code that is NaN is refused.
Result<QuantError> pack(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(rows.first_row % kPanel == 0 && rows.scales != nullptr);
  rounding::clear_panels(kLayout, n_rows, k, out);
  const int64_t n_blocks = blocks_of(k);
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t scale_row = (rows.first_row + r) / kQuantBlock;
    auto* header = reinterpret_cast<float*>(out + r / kPanel * kLayout.panel_bytes(k));
    for (int64_t b = 0; b < n_blocks; ++b)
      header[b] = float_at(rows.scales, *rows.type.scales, scale_row * n_blocks + b);
    for (int64_t i = 0; i < k; ++i) {
      const auto code = static_cast<uint8_t>(rows.data[r * k + i]);
      if ((code & 0x7f) == 0x7f)
        return corrupt("row {}, column {} is not a number; download the checkpoint again",
                       rows.first_row + r, i);
      rounding::block_of(kLayout, out, k, r,
                         i / kQuantBlock)[E4m3Blocks::code_at(r % kPanel, i % kQuantBlock)] = code;
    }
  }
  return QuantError{};
}

void unpack(const PackedMatrix& m, int64_t row, float* out) {
  const std::byte* panel = m.data + row / kPanel * m.panel_bytes();
  const auto* scales = reinterpret_cast<const float*>(panel);
  const auto* codes = reinterpret_cast<const uint8_t*>(panel) + kLayout.header(m.k);
  for (int64_t i = 0; i < m.k; ++i) {
    const int64_t block = i / kQuantBlock;
    out[i] = scales[block] * e4m3_to_f32(codes[block * kLayout.block_bytes +
                                               E4m3Blocks::code_at(row % kPanel, i % kQuantBlock)]);
  }
}

double output_product(const std::byte* panel, int64_t output, const bf16* inputs, int64_t k) {
  const auto* scales = reinterpret_cast<const float*>(panel);
  const auto* codes = reinterpret_cast<const uint8_t*>(panel) + kLayout.header(k);
  double sum = 0.0;
  for (int64_t i = 0; i < k; ++i) {
    const int64_t block = i / kQuantBlock;
    const uint8_t code =
        codes[block * kLayout.block_bytes + E4m3Blocks::code_at(output, i % kQuantBlock)];
    sum += double{scales[block]} * double{to_f32(inputs[i])} * double{e4m3_to_f32(code)};
  }
  return sum;
}

void multiply(const MatmulTile& t) {
  for (int64_t m = 0; m < t.m; ++m) {
    const auto* inputs = static_cast<const bf16*>(t.a) + m * t.a_stride;
    for (int64_t n = 0; n < t.n; ++n) {
      const std::byte* panel = t.b.data + n / kPanel * t.b.panel_stride;
      float& c = t.c[m * t.c_stride + n];
      const double before = t.accumulate ? double{c} : 0.0;
      c = static_cast<float>(before + output_product(panel, n % kPanel, inputs, t.k));
    }
  }
}

}  // namespace

constinit const Codec kE4m3Codec = {
    .name = "F8_E4M3",
    .suffix = "f8_e4m3",
    .layout = kLayout,
    .inputs = InputCoding::kBf16,
    .rows_per_scale = kQuantBlock,
    .has_fp8_inputs = true,
    .keeps =
        [](const StoredAs& stored) {
          return stored.elements == DType::kF8E4M3 && stored.scales.has_value();
        },
    .pack = pack,
    .unpack = unpack,
    .product = multiply,
};

}  // namespace longhaul
