#include "kernels/cpu/matmul.h"

#include <gtest/gtest.h>

#include "kernels/kernels_testing.h"

namespace longhaul {
namespace {

// A product's operands: A as rows (f32, and rounded to bf16), B packed.
struct Operands {
  int64_t m, n, k;
  const Codec* codec;
  int64_t stride;
  std::vector<float> a_f32;
  std::vector<bf16> a_bf16;
  AlignedBytes packed;

  Operands(int64_t m_, int64_t n_, int64_t k_, const Codec* codec_)
      : m(m_), n(n_), k(k_), codec(codec_), stride(round_up(k_, 2)), packed(codec_->bytes(n_, k_)) {
    a_f32 = random_floats(m * stride, 12);
    for (int64_t r = 0; r < m && stride > k; ++r) a_f32[static_cast<size_t>(r * stride + k)] = 0.0f;
    for (float v : a_f32) a_bf16.push_back(to_bf16(v));
    EXPECT_TRUE(
        pack_rows(random_floats(n * k, 13).data(), DType::kF32, n, k, *codec, packed.data()).ok());
  }

  // Rows [row, row + rows) of C, with room for one more column to see that none is written beyond
  // n.
  std::vector<float> multiply(const KernelSet& set, int64_t row, int64_t rows,
                              bool accumulate) const {
    std::vector<float> c(static_cast<size_t>(rows * (n + 1)), 0.5f);
    const MatmulTile tile{.a = codec == &kF32Codec
                                   ? static_cast<const void*>(a_f32.data() + row * stride)
                                   : static_cast<const void*>(a_bf16.data() + row * stride),
                          .a_stride = stride,
                          .b = PackedMatrix{packed.data(), codec, n, k}.panels(),
                          .c = c.data(),
                          .c_stride = n + 1,
                          .m = rows,
                          .n = n,
                          .k = k,
                          .accumulate = accumulate};
    set.matmul(*codec, tile);
    return c;
  }
};

TEST(MatmulKernel, MatchesRefAndWritesOnlyItsColumns) {
  for (const Codec* codec : {&kF32Codec, &kBf16Codec}) {
    for (int64_t n : {1, 15, 16, 17, 63, 150}) {
      for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 30}) {
        for (int64_t k : {1, 2, 31, 129}) {
          const Operands operands(m, n, k, codec);
          for (bool accumulate : {false, true}) {
            const auto expected = operands.multiply(ref_kernels(), 0, m, accumulate);
            for (const KernelSet* set : sets_but_ref()) {
              const auto actual = operands.multiply(*set, 0, m, accumulate);
              // f32 sums of at most 129 products <= 1: random errors of 2^-25 a step.
              ASSERT_LT(nmse(actual, expected), 1e-12)
                  << set->name << " " << codec->name << " " << m << "x" << n << "x" << k;
              for (int64_t r = 0; r < m; ++r)
                ASSERT_EQ(actual[static_cast<size_t>(r * (n + 1) + n)], 0.5f) << set->name;
            }
          }
        }
      }
    }
  }
}

TEST(MatmulKernel, RowDoesNotDependOnTheRowsBesideIt) {
  for (const Codec* codec : {&kF32Codec, &kBf16Codec}) {
    const Operands operands(30, 150, 131, codec);
    for (const KernelSet* set : all_kernel_sets()) {
      const auto all = operands.multiply(*set, 0, operands.m, true);
      for (int64_t m = 1; m <= 30; ++m) {
        const auto some = operands.multiply(*set, 30 - m, m, true);
        ASSERT_TRUE(bitwise_equal(some, std::span(all).last(some.size())))
            << set->name << " m=" << m;
      }
    }
  }
}

TEST(MatmulKernel, SumsInParts) {  // what the blocks of k rely on: the sum continues bit by bit
  for (const Codec* codec : {&kF32Codec, &kBf16Codec}) {
    const Operands operands(7, 40, 100, codec);
    for (const KernelSet* set : all_kernel_sets()) {
      const auto whole = operands.multiply(*set, 0, 7, false);
      std::vector<float> parts(whole.size(), 0.5f);
      const int64_t size = codec == &kF32Codec ? 4 : 2;
      const Panels b = PackedMatrix{operands.packed.data(), codec, 40, 100}.panels();
      const auto* a = codec == &kF32Codec
                          ? reinterpret_cast<const std::byte*>(operands.a_f32.data())
                          : reinterpret_cast<const std::byte*>(operands.a_bf16.data());
      for (int64_t k = 0; k < 100; k += 48) {
        MatmulTile tile{.a = a + k * size,
                        .a_stride = operands.stride,
                        .b = b,
                        .c = parts.data(),
                        .c_stride = 41,
                        .m = 7,
                        .n = 40,
                        .k = std::min<int64_t>(48, 100 - k),
                        .accumulate = k > 0};
        tile.b.data += k / codec->layout.block_inputs * b.step_stride;
        set->matmul(*codec, tile);
      }
      EXPECT_TRUE(bitwise_equal(parts, whole)) << set->name;
    }
  }
}

TEST(Matmul, NoInputsGiveZeros) {
  ThreadPool pool(1);
  std::vector<float> y(2 * 20, 3.0f);
  Matmul product{.x = y.data(),
                 .x_stride = 0,
                 .w = {nullptr, &kBf16Codec, 20, 0},
                 .y = y.data(),
                 .y_stride = 20,
                 .m = 2};
  AlignedBytes scratch(matmul_scratch_bytes(product.w, 2));
  matmul({all_kernel_sets().back(), &pool}, {&product, 1}, scratch.span());
  EXPECT_EQ(y, std::vector<float>(40, 0.0f));
}

}  // namespace
}  // namespace longhaul
