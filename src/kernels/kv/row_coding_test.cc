#include "kernels/kv/row_coding.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/kernels_testing.h"
#include "kernels/ref/stored.h"

namespace longhaul {
namespace {

// The nearest of all values of a format, by looking at each.
template <class Value>
float nearest(float x, int codes, const Value& value) {
  float best = 0.0f, distance = INFINITY;
  for (int c = 0; c < codes; ++c) {
    const float v = value(static_cast<uint8_t>(c));
    if (std::isnan(v) || std::abs(v - x) > distance) continue;
    const bool tie = std::abs(v - x) == distance;
    if (!tie || c % 2 == 0) best = v;  // halfway: the even code
    distance = std::abs(v - x);
  }
  return best;
}

std::vector<float> spread_values(int64_t n, uint64_t seed) {
  std::vector<float> x = random_floats(n, seed);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= std::exp2(static_cast<float>(i % 19) - 9.0f);
  return x;
}

TEST(RowCoding, Fp8RowsHoldTheNearestCodes) {
  for (const auto& [channels, tail] :
       {std::pair<int64_t, int64_t>{512, 64}, {64, 0}, {100, 6}, {10, 6}}) {
    const RowFormat format{RowCoding::kFp8ByE8M0, tail};
    const std::vector<float> x = spread_values(channels, 3);
    std::vector<std::byte> row(coded_row_bytes(format, channels));
    std::vector<bf16> back(x.size());
    encode_fp8_row(format, x.data(), channels, row.data());
    decode_fp8_row(format, row.data(), channels, back.data());
    for (int64_t begin = 0; begin < channels - tail; begin += 64) {
      const int64_t end = std::min(begin + 64, channels - tail);
      float most = 1e-4f;
      for (int64_t i = begin; i < end; ++i)
        most = std::max(most, std::abs(x[static_cast<size_t>(i)]));
      const float scale = std::exp2(std::ceil(std::log2(most / 448.0f)));
      for (int64_t i = begin; i < end; ++i) {
        const float v = x[static_cast<size_t>(i)] / scale;
        const float expected = scale * nearest(v, 256, [](uint8_t c) { return to_f32(e4m3{c}); });
        ASSERT_EQ(to_f32(back[static_cast<size_t>(i)]), expected) << channels << " channels, " << i;
      }
    }
    for (int64_t i = channels - tail; i < channels; ++i)
      ASSERT_EQ(back[static_cast<size_t>(i)].bits, to_bf16(x[static_cast<size_t>(i)]).bits)
          << "the tail stays bf16";
  }
}

TEST(RowCoding, EveryFp8CodeSurvives) {
  const RowFormat format{RowCoding::kFp8ByE8M0, 0};
  for (int first = 0; first < 128; first += 63) {
    std::vector<float> x(64, 448.0f);  // the largest fixes the scale at 1
    for (int i = 0; i < 63 && first + i < 127; ++i)
      x[static_cast<size_t>(i)] = -to_f32(e4m3{static_cast<uint8_t>(first + i)});
    std::vector<std::byte> row(coded_row_bytes(format, 64));
    std::vector<bf16> back(64);
    encode_fp8_row(format, x.data(), 64, row.data());
    decode_fp8_row(format, row.data(), 64, back.data());
    for (size_t i = 0; i < 64; ++i) ASSERT_EQ(to_f32(back[i]), x[i]);
  }
}

TEST(RowCoding, Fp4GroupsHoldTheNearestCodes) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<float> x = spread_values(32, seed);
    const Fp4Group g = encode_fp4_group(x.data());
    float most = 0.0f;
    for (float v : x) most = std::max(most, std::abs(v));
    const float scale = std::exp2(std::ceil(std::log2(most / 6.0f)));
    ASSERT_EQ(to_f32(e8m0{g.scale}), scale);
    for (size_t i = 0; i < 32; ++i)
      ASSERT_EQ(e2m1_to_f32(g.codes[i]),
                nearest(x[i] / scale, 16, [](uint8_t c) { return e2m1_to_f32(c); }))
          << x[i] / scale;
  }
}

TEST(RowCoding, WhatIsNoNumberIsCodedAsSomething) {
  std::vector<float> x(64, 1.0f);
  x[3] = NAN;
  x[4] = INFINITY;
  x[5] = -INFINITY;
  const RowFormat format{RowCoding::kFp8ByE8M0, 0};
  std::vector<std::byte> row(coded_row_bytes(format, 64));
  std::vector<bf16> back(64);
  encode_fp8_row(format, x.data(), 64, row.data());
  decode_fp8_row(format, row.data(), 64, back.data());
  for (bf16 v : back) EXPECT_TRUE(std::isfinite(to_f32(v)));
  encode_fp4_group(x.data());
}

TEST(RowCoding, HadamardIsItsOwnInverseAndKeepsInnerProducts) {
  const std::vector<float> a = random_floats(128, 1), b = random_floats(128, 2);
  std::vector<float> ha = a, hb = b;
  hadamard(ha.data(), 128);
  hadamard(hb.data(), 128);
  double before = 0, after = 0;
  for (size_t i = 0; i < 128; ++i) {
    before += double{a[i]} * b[i];
    after += double{ha[i]} * hb[i];
  }
  EXPECT_NEAR(after, before, 1e-5);
  hadamard(ha.data(), 128);
  for (size_t i = 0; i < 128; ++i) EXPECT_NEAR(ha[i], a[i], 1e-6);
  // The second row of the 4-point matrix in natural order is + - + -.
  std::vector<float> unit = {0, 1, 0, 0};
  hadamard(unit.data(), 4);
  EXPECT_EQ(unit, (std::vector<float>{0.5f, -0.5f, 0.5f, -0.5f}));
}

// One channel is 25 times as large as the others, as in keys of trained models.
TEST(RowCoding, OutliersCostOtherChannelsOfEightBitRowsLittle) {
  for (const RowKind rows : {RowKind::kKeysAndValues, RowKind::kShared}) {
    for (const int64_t dim : {64, 256, 24}) {  // 24: runs of eight
      const KvLayout layout{.n_kv_heads = 1, .head_dim = dim, .dtype = DType::kI8, .rows = rows};
      AlignedBytes block(layout.block_bytes(16));
      auto x = random_floats(dim, 3);
      x[5] = 25.0f;
      store_kv(layout, block.data(), 16, 3, x.data(), x.data());
      const KvSegment segment{.block = block.data(), .slots = 16, .begin = 3, .end = 4};
      std::vector<double> kept = StoredRows(layout).key(segment, 3, 0);
      EXPECT_NEAR(kept[5], 25.0, 0.2);
      double squares = 0.0, errors = 0.0;
      for (size_t d = 0; d < kept.size(); ++d) {
        if (d == 5) continue;
        squares += double{x[d]} * double{x[d]};
        errors += (kept[d] - double{x[d]}) * (kept[d] - double{x[d]});
      }
      // Without the rotation 0.01.
      EXPECT_LT(errors / squares, dim == 24 ? 3e-3 : 6e-4) << dim;
    }
  }
}

}  // namespace
}  // namespace longhaul
