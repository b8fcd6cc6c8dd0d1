#include "kernels/codecs/panels.h"

#include <gtest/gtest.h>

#include "kernels/kernels_testing.h"

namespace longhaul {
namespace {

// Element (k, n) by the formula of the header.
float element(const std::byte* data, DType dtype, int64_t k_total, int64_t k, int64_t n) {
  const PackedMatrix matrix{data, dtype, 0, k_total};
  const int64_t step = inputs_per_step(dtype);
  const std::byte* at =
      data + n / kPanel * matrix.panel_bytes() + k / step * matrix.panels().step_stride;
  const int64_t index = n % kPanel * step + k % step;
  return dtype == DType::kF32 ? reinterpret_cast<const float*>(at)[index]
                              : to_f32(reinterpret_cast<const bf16*>(at)[index]);
}

TEST(Panels, HoldEveryElementAndZerosBeside) {
  for (DType dtype : {DType::kF32, DType::kBF16}) {
    for (int64_t n : {1, 15, 16, 17, 63}) {
      for (int64_t k : {1, 2, 7, 128, 131}) {
        const auto rows = random_floats(n * k, 1);
        AlignedBytes packed(packed_bytes(dtype, n, k));
        std::memset(packed.data(), 0xff, packed.span().size());
        pack_rows(rows.data(), DType::kF32, 0, n, k, dtype, packed.data());
        for (int64_t i = 0; i < round_up(n, kPanel); ++i) {
          for (int64_t j = 0; j < round_up(k, inputs_per_step(dtype)); ++j) {
            const float source = i < n && j < k ? rows[static_cast<size_t>(i * k + j)] : 0.0f;
            const float expected = dtype == DType::kF32 ? source : to_f32(to_bf16(source));
            ASSERT_EQ(element(packed.data(), dtype, k, j, i), expected)
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
  AlignedBytes whole(packed_bytes(DType::kBF16, n, k)), parts(packed_bytes(DType::kBF16, n, k));
  pack_rows(rows.data(), DType::kF32, 0, n, k, DType::kBF16, whole.data());
  pack_rows(rows.data(), DType::kF32, 0, 32, k, DType::kBF16, parts.data());
  pack_rows(rows.data() + 32 * k, DType::kF32, 32, n - 32, k, DType::kBF16, parts.data());
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
  AlignedBytes packed(packed_bytes(DType::kF32, n, k));
  pack_rows(bf.data(), DType::kBF16, 0, n, k, DType::kF32, packed.data());
  EXPECT_EQ(element(packed.data(), DType::kF32, k, 3, 7), 38.0f);
  pack_rows(half.data(), DType::kF16, 0, n, k, DType::kF32, packed.data());
  EXPECT_EQ(element(packed.data(), DType::kF32, k, 3, 7), 1.0f + 38.0f / 1024.0f);
}

}  // namespace
}  // namespace longhaul
