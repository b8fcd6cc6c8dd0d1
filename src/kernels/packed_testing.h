// Packed matrices of random content, of any codec.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <span>

#include "kernels/codecs/grouped.h"
#include "kernels/codecs/mxfp4.h"
#include "kernels/codecs/q4.h"
#include "kernels/codecs/q8.h"
#include "kernels/kernels_testing.h"

namespace longhaul {

// Scales between 2^-6 and 1, of either sign.
inline void set_scale(f16& scale) {
  scale.bits = static_cast<uint16_t>((scale.bits & 0x8fffu) + 0x2400u);
}
inline void set_scale(float& scale) {
  scale = static_cast<float>(std::bit_cast<uint32_t>(scale) % 63 + 1) / 64;
}

template <class Panels>
void set_grouped_scales(std::byte* block) {
  auto* b = reinterpret_cast<uint8_t*>(block);
  for (int64_t i = 0; i < Panels::kScaleRows * kPanel; ++i) {
    set_scale(Panels::scales(b)[i]);
    if constexpr (Panels::kHasMins) set_scale(Panels::min_scales(b)[i]);
  }
}

// Of one block, whose bytes are random.
inline void set_scales(const Codec* codec, std::span<const float> noise, std::byte* block) {
#define LH_SET_SCALES(type, panels) \
  if (codec == &grouped_codecs::type) return set_grouped_scales<panels>(block);
  LH_GROUPED_CODECS(LH_SET_SCALES)
#undef LH_SET_SCALES
  for (size_t o = 0; o < static_cast<size_t>(kPanel); ++o) {
    if (codec == &kQ8Codec) std::memcpy(block + o * sizeof(float), &noise[o], sizeof(float));
    if (codec != &kQ4Codec) continue;
    auto& scales = *reinterpret_cast<Q4Scales*>(block);
    scales.scale[o] = to_bf16(noise[o]);
    int multipliers = 0;
    for (int64_t g = 0; g < kBlockGroups; ++g)
      multipliers |= q4_multiplier(scales.multipliers[o], g) % (kLargestQ4Multiplier + 1)
                     << (4 * g);
    scales.multipliers[o] = static_cast<uint16_t>(multipliers);
  }
  for (int64_t i = 0; codec == &kMxfp4Codec && i < Mxfp4Blocks::kScaleBytes; ++i) {
    block[i] = std::byte{static_cast<uint8_t>(120 + (static_cast<int>(block[i]) & 15))};
  }
}

// Any bytes are codes of all formats but E4M3, whose NaN is left out; scales and headers get values
// of the size that they have.
inline AlignedBytes random_weights(const Codec* codec, int64_t n, int64_t k, uint64_t seed) {
  AlignedBytes packed(codec->bytes(n, k));
  if (codec->is_plain) {
    EXPECT_TRUE(
        pack_rows(random_floats(n * k, seed).data(), DType::kF32, n, k, *codec, packed.data())
            .ok());
    return packed;
  }
  const auto noise = random_floats(static_cast<int64_t>(packed.span().size()), seed);
  for (size_t i = 0; i < noise.size(); ++i) {
    const auto byte = static_cast<uint8_t>(static_cast<int>(noise[i] * 128.0f) + 128);
    packed.data()[i] = std::byte{codec == &kE4m3Codec && (byte & 0x7f) == 0x7f ? uint8_t{0} : byte};
  }
  const PackedMatrix matrix{packed.data(), codec, n, k};
  for (int64_t panel = 0; panel < ceil_div(n, kPanel); ++panel) {
    std::byte* at = packed.data() + panel * matrix.panel_bytes();
    const int64_t header = codec->layout.header(k);
    // Levels of grouped codes are the same in all panels.
    const int64_t own = codec->inputs == InputCoding::kInt8 && codec != &kMxfp4Codec ? 0 : panel;
    for (int64_t i = 0; i < header / 4; ++i)
      std::memcpy(at + 4 * i, &noise[static_cast<size_t>(own * 16 + i)], 4);
    for (int64_t b = 0; b < blocks_of(k); ++b)
      set_scales(codec, std::span(noise).subspan(static_cast<size_t>(b)),
                 at + header + b * codec->layout.block_bytes);
  }
  return packed;
}

}  // namespace longhaul
