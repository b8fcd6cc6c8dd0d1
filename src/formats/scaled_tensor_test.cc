#include "formats/scaled_tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/checked_math.h"
#include "base/numbers.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

// A tensor in memory with its bytes.
struct Tensor {
  std::vector<std::byte> bytes;
  TensorInfo info;

  Tensor(std::string name, DType dtype, std::vector<int64_t> shape)
      : bytes(*checked_nbytes(dtype, shape, name)),
        info{std::move(name), dtype, std::move(shape), bytes, nullptr} {}
  Tensor(const Tensor&) = delete;

  void set(int64_t i, uint8_t code) { bytes[static_cast<size_t>(i)] = std::byte{code}; }
  void set_scale(int64_t i, float scale) {
    if (info.dtype == DType::kF32) {
      std::memcpy(bytes.data() + 4 * i, &scale, 4);
    } else if (info.dtype == DType::kBF16) {
      const bf16 rounded = to_bf16(scale);
      std::memcpy(bytes.data() + 2 * i, &rounded.bits, 2);
    } else {
      set(i, static_cast<uint8_t>(127 + std::ilogb(scale)));
    }
  }
  void count_up() {
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>(i * 7 % 127);  // no NaN
  }
};

std::vector<float> decoded(const Tensor& weight, const Tensor& scales, int64_t first_row,
                           int64_t n_rows, int64_t cols) {
  std::vector<float> out(static_cast<size_t>(n_rows * cols), -1.0f);
  decode_rows({&weight.info, &scales.info}, first_row, n_rows, cols, out.data());
  return out;
}

std::string problem(const Tensor& weight, const Tensor* scales, std::vector<int64_t> shape) {
  const Status status =
      check_scaled({&weight.info, scales == nullptr ? nullptr : &scales->info}, shape);
  return status.ok() ? "fits" : status.error().text();
}

TEST(ScaledTensor, ABlockOf128By128HasOneScale) {
  for (DType dtype : {DType::kF8E8M0, DType::kF32, DType::kBF16}) {
    for (const auto& [rows, cols] :
         {std::pair<int64_t, int64_t>{1, 1}, {128, 128}, {129, 127}, {130, 257}, {3, 300}}) {
      Tensor weight("w.weight", DType::kF8E4M3, {rows, cols});
      Tensor scales("w.scale", dtype, {ceil_div(rows, 128), ceil_div(cols, 128)});
      weight.count_up();
      const auto scale_of = [](int64_t block) {
        return std::ldexp(1.0f, static_cast<int>(block % 9) - 4);
      };
      const int64_t across = ceil_div(cols, 128);
      for (int64_t b = 0; b < ceil_div(rows, 128) * across; ++b) scales.set_scale(b, scale_of(b));
      ASSERT_EQ(problem(weight, &scales, {rows, cols}), "fits");
      const auto out = decoded(weight, scales, 0, rows, cols);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const float code =
              to_f32(e4m3{static_cast<uint8_t>(weight.bytes[static_cast<size_t>(r * cols + c)])});
          ASSERT_EQ(out[static_cast<size_t>(r * cols + c)],
                    code * scale_of(r / 128 * across + c / 128))
              << r << ", " << c;
        }
      }
      // Some rows out of the middle are the same rows.
      const int64_t from = rows / 2, n = rows - from;
      EXPECT_EQ(decoded(weight, scales, from, n, cols),
                std::vector<float>(out.begin() + from * cols, out.end()));
    }
  }
}

TEST(ScaledTensor, ARunOf32ColumnsHasOneScaleAndTheLowHalfComesFirst) {
  for (DType packed : {DType::kI8, DType::kU8}) {
    for (DType dtype : {DType::kF8E8M0, DType::kF32, DType::kBF16}) {
      const int64_t rows = 3, cols = 96;
      Tensor weight("e.weight", packed, {rows, cols / 2});
      Tensor scales("e.scale", dtype, {rows, cols / 32});
      for (int64_t i = 0; i < rows * cols / 2; ++i) weight.set(i, static_cast<uint8_t>(i * 37));
      for (int64_t i = 0; i < rows * cols / 32; ++i)
        scales.set_scale(i, std::ldexp(1.0f, static_cast<int>(i) - 4));
      ASSERT_EQ(problem(weight, &scales, {rows, cols}), "fits");
      const auto out = decoded(weight, scales, 1, 2, cols);
      for (int64_t r = 1; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const auto byte =
              static_cast<uint8_t>(weight.bytes[static_cast<size_t>((r * cols + c) / 2)]);
          const float expected = e2m1_to_f32(c % 2 == 0 ? byte & 15u : byte >> 4) *
                                 std::ldexp(1.0f, static_cast<int>(r * 3 + c / 32) - 4);
          ASSERT_EQ(out[static_cast<size_t>((r - 1) * cols + c)], expected) << r << ", " << c;
        }
      }
    }
  }
  Tensor weight("e.weight", DType::kI8, {1, 16});
  Tensor scales("e.scale", DType::kF8E8M0, {1, 1});
  weight.set(0, 0xA7);  // low 7: 6; high 10: -1
  scales.set(0, 128);
  const auto out = decoded(weight, scales, 0, 1, 32);
  EXPECT_EQ(out[0], 12.0f);
  EXPECT_EQ(out[1], -2.0f);
}

TEST(ScaledTensor, ExtremeScalesStayWhatTheyAre) {
  Tensor weight("w.weight", DType::kF8E4M3, {1, 2});
  Tensor scales("w.scale", DType::kF8E8M0, {1, 1});
  weight.set(0, 0x38);  // 1
  weight.set(1, 0x7f);  // NaN
  for (const auto& [code, value] :
       {std::pair<uint8_t, float>{0, 0x1p-127f}, {1, 0x1p-126f}, {127, 1.0f}, {254, 0x1p127f}}) {
    scales.set(0, code);
    EXPECT_EQ(decoded(weight, scales, 0, 1, 2)[0], value);
    EXPECT_TRUE(std::isnan(decoded(weight, scales, 0, 1, 2)[1]));
  }
  scales.set(0, 255);
  EXPECT_TRUE(std::isnan(decoded(weight, scales, 0, 1, 2)[0]));
}

TEST(ScaledTensor, WhatDoesNotFitIsNamed) {
  Tensor fp8("a.weight", DType::kF8E4M3, {256, 300}), fp4("b.weight", DType::kI8, {4, 32}),
      odd("c.weight", DType::kI8, {4, 24});
  Tensor good("a.scale", DType::kF8E8M0, {2, 3}), runs("b.scale", DType::kF8E8M0, {4, 2});
  EXPECT_EQ(problem(fp8, &good, {256, 300}), "fits");
  EXPECT_EQ(problem(fp4, &runs, {4, 64}), "fits");
  EXPECT_THAT(problem(fp8, nullptr, {256, 300}),
              HasSubstr("'a.weight' is F8_E4M3 and has no scales ('a.scale')"));
  EXPECT_THAT(problem(fp4, nullptr, {4, 64}),
              HasSubstr("'b.weight' is I8 and has no scales ('b.scale')"));
  EXPECT_THAT(problem(fp8, &good, {2, 128, 300}),
              HasSubstr("read for matrices only, expected [2, 128, 300]"));
  EXPECT_THAT(problem(fp8, &good, {256, 301}),
              HasSubstr("'a.weight' is [256, 300], expected [256, 301]"));
  EXPECT_THAT(problem(fp4, &runs, {4, 32}), HasSubstr("'b.weight' is [4, 32], expected [4, 16]"));
  EXPECT_THAT(problem(odd, &runs, {4, 48}),
              HasSubstr("4-bit weights of 48 columns, which are no multiple of 32"));
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{3, 2}, {2, 2}, {2, 4}, {6}, {2, 3, 1}, {1, 1}, {}}) {
    Tensor wrong("a.scale", DType::kF8E8M0, shape);
    EXPECT_THAT(problem(fp8, &wrong, {256, 300}),
                HasSubstr("'a.scale' is " + shape_text(shape) + ", expected [2, 3]"));
  }
  for (DType dtype : {DType::kF16, DType::kI8, DType::kU8, DType::kF8E4M3, DType::kI64}) {
    Tensor wrong("a.scale", dtype, {2, 3});
    EXPECT_THAT(problem(fp8, &wrong, {256, 300}), HasSubstr("scales are F8_E8M0, F32 or BF16"));
  }
}

TEST(ScaledTensor, NamesOfScales) {
  EXPECT_THAT(
      scale_names("layers.0.attn.wq_a.weight"),
      ::testing::ElementsAre("layers.0.attn.wq_a.scale", "layers.0.attn.wq_a.weight_scale_inv"));
  EXPECT_TRUE(needs_scales(DType::kF8E4M3) && needs_scales(DType::kI8) && needs_scales(DType::kU8));
  EXPECT_FALSE(needs_scales(DType::kBF16) || needs_scales(DType::kF32) ||
               needs_scales(DType::kI64) || needs_scales(DType::kF8E8M0));
}

// Two matrices [2, 64] of NVFP4 whose codes are all 1 and whose scales are 1.
struct Nvfp4Stack {
  std::vector<std::byte> bytes = std::vector<std::byte>(4 * 36, std::byte{0x22});
  TensorInfo info;

  Nvfp4Stack() {
    for (size_t row = 0; row < 4; ++row)
      std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(row * 36), 4, std::byte{0x38});
    info = {.name = "w", .dtype = DType::kNVFP4, .shape = {2, 2, 64}, .bytes = bytes};
  }
};

TEST(ScaledTensor, BlocksHaveAFactorOfEachMatrixOrOfAll) {
  const Nvfp4Stack stack;
  Tensor each("w.scale", DType::kF32, {2}), all("w.scale", DType::kF32, {1});
  each.set_scale(0, 3.0f);
  each.set_scale(1, 0.5f);
  all.set_scale(0, 2.0f);
  float out[4 * 64];
  for (const auto& [factor, first, second] :
       {std::tuple<const TensorInfo*, float, float>{nullptr, 1.0f, 1.0f},
        {&each.info, 3.0f, 0.5f},
        {&all.info, 2.0f, 2.0f}}) {
    const ScaledTensor scaled{&stack.info, factor};
    EXPECT_FALSE(scaled.is_plain());
    ASSERT_TRUE(check_factor(scaled).ok());
    decode_rows(scaled, 0, 4, 64, out);
    EXPECT_EQ(out[0], first);
    EXPECT_EQ(out[2 * 64 - 1], first);
    EXPECT_EQ(out[2 * 64], second);
    EXPECT_EQ(out[4 * 64 - 1], second);
  }
}

TEST(ScaledTensor, RefusesAFactorThatIsNone) {
  const Nvfp4Stack stack;
  const Tensor three("w.scale", DType::kF32, {3});
  EXPECT_THAT(check_factor({&stack.info, &three.info}).error().text(),
              HasSubstr("'w.scale' is F32 [3], expected an F32 factor"));
}

}  // namespace
}  // namespace longhaul
