#include "kernels/codecs/q8.h"

#include "kernels/codecs/codecs.h"
#include "kernels/codecs/integer_blocks.h"
#include "kernels/codecs/rounding.h"

namespace longhaul {
namespace {

QuantError round_block(const rounding::Block& w, float largest, int64_t output, uint8_t* block) {
  constexpr float kLargestCode = 127.0f;
  const float scale = largest < kLeastInput ? 0.0f : largest / kLargestCode,
              inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  reinterpret_cast<float*>(block)[output] = scale;
  QuantError error;
  for (size_t g = 0; g < rounding::kGroups; ++g) {
    for (size_t i = 0; i < w[g].size(); ++i) {
      const float code = std::clamp(std::nearbyint(w[g][i] * inverse), -kLargestCode, kLargestCode);
      const auto input = static_cast<int64_t>(g * w[g].size() + i);
      block[Q8Blocks::kScaleBytes + Q8Blocks::code_at(output, input)] =
          static_cast<uint8_t>(kCodeOffset + static_cast<int>(code));
      rounding::add_error(error, w[g][i], scale * code);
    }
  }
  return error;
}

Result<QuantError> pack(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  return rounding::round_rows(Q8Blocks::kLayout, rows, n_rows, k, out, round_block);
}

}  // namespace

constinit const Codec kQ8Codec = {
    .name = "Q8",
    .suffix = "q8",
    .option = "q8",
    .layout = Q8Blocks::kLayout,
    .inputs = Q8Blocks::kInputs,
    .rms_error = 0.0075,
    .unrounded = &kBf16Codec,
    .pack = pack,
    .unpack = integer_blocks::unpack<Q8Blocks>,
    .product = integer_blocks::multiply<Q8Blocks>,
};

}  // namespace longhaul
