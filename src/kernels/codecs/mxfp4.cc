#include "kernels/codecs/mxfp4.h"

#include "base/check.h"
#include "kernels/codecs/codecs.h"
#include "kernels/codecs/integer_blocks.h"
#include "kernels/codecs/rounding.h"

namespace longhaul {
namespace {

constexpr PanelLayout kLayout = Mxfp4Blocks::kLayout;

// Codes stand two a byte, the even column in the low half, and scales row by row: [n, ceil(k / 2)]
// and [n, ceil(k / 32)]. Values are kept as they are, but for scales of 2^-127 (byte 0), which
// become 0. A scale that is NaN (byte 255) is refused.
Result<QuantError> pack_codes(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(rows.scales != nullptr);
  rounding::clear_panels(kLayout, n_rows, k, out);
  const int64_t code_stride = ceil_div(k, 2), scale_stride = ceil_div(k, kQuantGroup);
  const std::byte* scales = rows.scales + rows.first_row * scale_stride;
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t output = r % kPanel;
    const auto block = [&](int64_t b) { return rounding::block_of(kLayout, out, k, r, b); };
    reinterpret_cast<float*>(out + r / kPanel * kLayout.panel_bytes(k))[output] = 0.5f;
    for (int64_t g = 0; g < scale_stride; ++g) {
      const auto scale = static_cast<uint8_t>(scales[r * scale_stride + g]);
      if (scale == 255)
        return corrupt(
            "the scale of row {}, columns from {} is not a number; download the checkpoint again",
            rows.first_row + r, g * kQuantGroup);
      block(g / kBlockGroups)[g % kBlockGroups * kPanel + output] = scale;
    }
    for (int64_t i = 0; i < k; ++i) {
      const auto byte = static_cast<uint8_t>(rows.data[r * code_stride + i / 2]);
      put_nibble(block(i / kQuantBlock) + Mxfp4Blocks::kScaleBytes, output, i % kQuantBlock,
                 i % 2 == 0 ? byte & 15 : byte >> 4);
    }
  }
  return QuantError{};
}

// Blocks of 32 that begin with their scale. As above, those of 2^-127 become 0.
Result<QuantError> pack_blocks(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  static constexpr auto kCodes = codes_by_level(kE2m1Levels);
  rounding::clear_panels(kLayout, n_rows, k, out);
  LH_CHECK(k % kQuantGroup == 0);
  const std::byte* from = rows.data;
  GroupedCodes codes;
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t output = r % kPanel;
    reinterpret_cast<float*>(out + r / kPanel * kLayout.panel_bytes(k))[output] = 0.5f;
    for (int64_t g = 0; g < k / kQuantGroup; ++g, from += rows.blocks->block_bytes) {
      rows.blocks->decode(from, codes);
      uint8_t* block = rounding::block_of(kLayout, out, k, r, g / kBlockGroups);
      block[g % kBlockGroups * kPanel + output] = static_cast<uint8_t>(*from);
      for (int64_t i = 0; i < kQuantGroup; ++i)
        put_nibble(block + Mxfp4Blocks::kScaleBytes, output, g % kBlockGroups * kQuantGroup + i,
                   kCodes[static_cast<uint8_t>(codes.levels[static_cast<size_t>(i)])]);
    }
  }
  return QuantError{};
}

Result<QuantError> pack(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  return rows.blocks == nullptr ? pack_codes(rows, n_rows, k, out)
                                : pack_blocks(rows, n_rows, k, out);
}

bool keeps(const StoredAs& stored) {
  const DType codes = stored.elements;
  if (codes == DType::kMXFP4) return true;
  return (codes == DType::kF4 || codes == DType::kI8 || codes == DType::kU8) &&
         stored.scales == DType::kF8E8M0;
}

}  // namespace

constinit const Codec kMxfp4Codec = {
    .name = "F4",
    .suffix = "mxfp4",
    .layout = kLayout,
    .inputs = Mxfp4Blocks::kInputs,
    .has_fp8_inputs = true,
    .keeps = keeps,
    .pack = pack,
    .unpack = integer_blocks::unpack<Mxfp4Blocks>,
    .product = integer_blocks::multiply<Mxfp4Blocks>,
};

}  // namespace longhaul
