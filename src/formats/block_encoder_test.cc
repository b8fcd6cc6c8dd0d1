// Encoded blocks against what they decode to.
#include "formats/block_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "formats/widen.h"

namespace longhaul {
namespace {

std::vector<float> decoded(DType type, const std::vector<float>& x) {
  const auto n_blocks = static_cast<int64_t>(x.size()) / kEncodedBlock;
  std::vector<std::byte> bytes(static_cast<size_t>(n_blocks * block_of(type).bytes));
  encode_blocks(type, x.data(), n_blocks, bytes.data());
  const TensorInfo tensor{.name = "t", .dtype = type, .shape = {n_blocks, 32}, .bytes = bytes};
  EXPECT_TRUE(check_scales(tensor, 0, std::ssize(x), "it").ok());
  std::vector<float> back(x.size());
  widen_elements(tensor, 0, std::ssize(x), back.data());
  return back;
}

std::vector<float> normal(size_t n, float size) {
  std::mt19937 random(1);
  std::normal_distribution<float> distribution(0.0f, size);
  std::vector<float> x(n);
  for (float& v : x) v = distribution(random);
  return x;
}

double rms_error(const std::vector<float>& x, const std::vector<float>& back) {
  double error = 0, squares = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += std::pow(double{x[i]} - double{back[i]}, 2);
    squares += std::pow(double{x[i]}, 2);
  }
  return std::sqrt(error / squares);
}

TEST(EncodeBlocks, NormalWeightsErrAsMuchAsTheTypesDo) {
  const auto x = normal(32 * 2000, 0.02f);
  EXPECT_NEAR(rms_error(x, decoded(DType::kQ8_0, x)), 0.0054, 0.0002);
  const double error = rms_error(x, decoded(DType::kIQ4_NL, x));
  EXPECT_LT(error, 0.077);  // ggml's own quantiser: 0.0767 without weights of importance
  EXPECT_GT(error, 0.06);
}

TEST(EncodeBlocks, EachWeightOfQ8IsWithinHalfAStep) {
  for (const float size : {1e-6f, 0.02f, 1000.0f}) {
    const auto x = normal(32 * 50, size);
    const auto back = decoded(DType::kQ8_0, x);
    for (size_t b = 0; b < x.size(); b += 32) {
      float largest = 0.0f;
      for (size_t i = b; i < b + 32; ++i) largest = std::max(largest, std::abs(x[i]));
      // Below 2^-14 the scale is a count of 2^-24.
      const float step = largest / 127.0f * 1.001f + 0x1p-24f;
      for (size_t i = b; i < b + 32; ++i) ASSERT_NEAR(back[i], x[i], step / 2 + 127 * 0x1p-25f);
    }
  }
}

TEST(EncodeBlocks, ZerosStayZeros) {
  const std::vector<float> zeros(64, 0.0f);
  for (const DType type : {DType::kQ8_0, DType::kIQ4_NL}) EXPECT_EQ(decoded(type, zeros), zeros);
}

TEST(EncodeBlocks, WhatAreLevelsAlreadyIsKept) {
  std::vector<float> x;
  for (const int level : {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113})
    x.insert(x.end(), 2, static_cast<float>(level) * 0x1p-8f);
  EXPECT_EQ(decoded(DType::kIQ4_NL, x), x);
}

}  // namespace
}  // namespace longhaul
