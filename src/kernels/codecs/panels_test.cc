#include "kernels/codecs/panels.h"

#include <gtest/gtest.h>

#include "kernels/kernels_testing.h"

namespace longhaul {
namespace {

// Element (k, n) by the formula of the header.
float element(const std::byte* data, const Codec& codec, int64_t k_total, int64_t k, int64_t n) {
  const PackedMatrix matrix{data, &codec, 0, k_total};
  const int64_t step = codec.layout.block_inputs;
  const std::byte* at =
      data + n / kPanel * matrix.panel_bytes() + k / step * matrix.panels().step_stride;
  const int64_t index = n % kPanel * step + k % step;
  return &codec == &kF32Codec ? reinterpret_cast<const float*>(at)[index]
                              : to_f32(reinterpret_cast<const bf16*>(at)[index]);
}

TEST(Panels, HoldEveryElementAndZerosBeside) {
  for (const Codec* codec : {&kF32Codec, &kBf16Codec}) {
    for (int64_t n : {1, 15, 16, 17, 63}) {
      for (int64_t k : {1, 2, 7, 128, 131}) {
        const auto rows = random_floats(n * k, 1);
        AlignedBytes packed(codec->bytes(n, k));
        std::memset(packed.data(), 0xff, packed.span().size());
        ASSERT_TRUE(pack_rows(rows.data(), DType::kF32, n, k, *codec, packed.data()).ok());
        for (int64_t i = 0; i < round_up(n, kPanel); ++i) {
          for (int64_t j = 0; j < round_up(k, codec->layout.block_inputs); ++j) {
            const float source = i < n && j < k ? rows[static_cast<size_t>(i * k + j)] : 0.0f;
            const float expected = codec == &kF32Codec ? source : to_f32(to_bf16(source));
            ASSERT_EQ(element(packed.data(), *codec, k, j, i), expected)
                << "n=" << n << " k=" << k << " at " << i << ", " << j;
          }
        }
      }
    }
  }
}

TEST(Panels, PackedInPartsEqualPackedAtOnce) {
  const int64_t n = 50, k = 37;
  const auto rows = random_floats(n * k, 2);
  const Codec& codec = kBf16Codec;
  AlignedBytes whole(codec.bytes(n, k)), parts(codec.bytes(n, k));
  ASSERT_TRUE(pack_rows(rows.data(), DType::kF32, n, k, codec, whole.data()).ok());
  ASSERT_TRUE(pack_rows(rows.data(), DType::kF32, 32, k, codec, parts.data()).ok());
  ASSERT_TRUE(pack_rows(rows.data() + 32 * k, DType::kF32, n - 32, k, codec,
                        parts.data() + codec.bytes(32, k))
                  .ok());
  EXPECT_EQ(std::memcmp(whole.data(), parts.data(), whole.span().size()), 0);
}

TEST(Panels, SourcesOf16BitsKeepTheirValues) {
  const int64_t n = 16, k = 5;
  std::vector<bf16> bf(static_cast<size_t>(n * k));
  std::vector<f16> half(static_cast<size_t>(n * k));
  for (size_t i = 0; i < bf.size(); ++i) {
    bf[i] = to_bf16(static_cast<float>(i));
    half[i] = f16{static_cast<uint16_t>(0x3c00 + i)};  // 1 + i / 1024
  }
  AlignedBytes packed(kF32Codec.bytes(n, k));
  ASSERT_TRUE(pack_rows(bf.data(), DType::kBF16, n, k, kF32Codec, packed.data()).ok());
  EXPECT_EQ(element(packed.data(), kF32Codec, k, 3, 7), 38.0f);
  ASSERT_TRUE(pack_rows(half.data(), DType::kF16, n, k, kF32Codec, packed.data()).ok());
  EXPECT_EQ(element(packed.data(), kF32Codec, k, 3, 7), 1.0f + 38.0f / 1024.0f);
}

}  // namespace
}  // namespace longhaul
