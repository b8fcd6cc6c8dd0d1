#include "formats/gguf_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace longhaul {
namespace {

std::vector<std::byte> bytes_from_hash(size_t n, uint64_t seed) {
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) {
    seed = seed * 6364136223846793005 + 1442695040888963407;
    b = static_cast<std::byte>(seed >> 56);
  }
  return bytes;
}

std::vector<uint32_t> bits_of(std::span<const float> values) {
  std::vector<uint32_t> bits;
  for (const float x : values) bits.push_back(std::bit_cast<uint32_t>(x));
  return bits;
}

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> all;
  for (const int v : values) all.push_back(static_cast<std::byte>(v));
  return all;
}

TEST(GgufBlocks, AreThoseOfTheTypesThatAreRead) {
  for (const GgufTypeInfo& info : gguf_types()) {
    const GgufBlockType* row = gguf_block_type(info.type);
    const bool is_ternary = info.type == GgufType::kTQ1_0 || info.type == GgufType::kTQ2_0;
    ASSERT_EQ(row != nullptr, info.is_quantised() && !is_ternary) << info.name;
    if (row == nullptr) continue;
    EXPECT_EQ(row->type, info.type);
    EXPECT_EQ(row->grouping.n_weights, info.block_elements) << info.name;
    EXPECT_EQ(row->grouping.n_weights % row->grouping.run, 0u) << info.name;
    EXPECT_EQ(row->grouping.run % row->grouping.group, 0u) << info.name;
  }
}

// Halves, where other formats have pairs.
TEST(GgufBlocks, PutTheLowHalvesOfBytesFirst) {
  auto block = bytes({0x00, 0x3c});  // 1
  for (int i = 0; i < 16; ++i) block.push_back(static_cast<std::byte>(i | (15 - i) << 4));
  std::vector<float> out(32);
  unpack_blocks(GgufType::kQ4_0, block.data(), 1, out.data());
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(out[static_cast<size_t>(i)], static_cast<float>(i - 8));
    EXPECT_EQ(out[static_cast<size_t>(16 + i)], static_cast<float>(7 - i));
  }
}

TEST(GgufBlocks, UnpackAloneAsTheyUnpackTogether) {
  constexpr int64_t kBlocks = 7;
  constexpr float kUntouched = -12345.0f;
  for (const GgufBlockType& row : gguf_block_types()) {
    const GgufTypeInfo& info = info_of(row.type);
    const size_t width = info.block_elements;
    const auto blocks = bytes_from_hash(kBlocks * info.block_bytes, width + info.block_bytes);
    std::vector<float> whole(kBlocks * width);
    row.unpack(blocks.data(), kBlocks, whole.data());
    for (int64_t first = 0; first <= kBlocks; ++first) {
      for (int64_t n = 0; first + n <= kBlocks; ++n) {
        const auto from = static_cast<size_t>(first), count = static_cast<size_t>(n) * width;
        std::vector<float> part(count + 1, kUntouched);
        row.unpack(blocks.data() + from * info.block_bytes, n, part.data());
        EXPECT_EQ(part.back(), kUntouched) << info.name;
        EXPECT_EQ(bits_of(std::span(part).first(count)),
                  bits_of(std::span(whole).subspan(from * width, count)))
            << info.name << ", blocks " << first << " to " << first + n;
      }
    }
  }
}

TEST(GgufBlocks, MayBeginAtAnyByte) {
  for (const GgufBlockType& row : gguf_block_types()) {
    const GgufTypeInfo& info = info_of(row.type);
    const auto blocks = bytes_from_hash(2 * info.block_bytes, 5);
    std::vector<float> aligned(2 * info.block_elements), moved(aligned.size());
    row.unpack(blocks.data(), 2, aligned.data());
    for (size_t shift = 1; shift < 8; ++shift) {
      std::vector<std::byte> copy(shift + blocks.size());
      std::copy(blocks.begin(), blocks.end(), copy.begin() + static_cast<int64_t>(shift));
      row.unpack(copy.data() + shift, 2, moved.data());
      EXPECT_EQ(bits_of(aligned), bits_of(moved)) << info.name << ", byte " << shift;
    }
  }
}

// What a panel is packed from holds what f32 holds.
TEST(GgufBlocks, DecodeToIntegersThatGiveTheirWeights) {
  for (const GgufBlockType& row : gguf_block_types()) {
    const GgufTypeInfo& info = info_of(row.type);
    const CodeGrouping& grouping = row.grouping;
    const auto block = bytes_from_hash(info.block_bytes, 11);
    if (row.first_damaged(block.data(), 1) == 0) continue;
    std::vector<float> weights(info.block_elements);
    row.unpack(block.data(), 1, weights.data());
    GroupedCodes codes;
    row.decode(block.data(), codes);
    for (size_t i = 0; i < weights.size(); ++i) {
      const size_t g = i / grouping.group;
      const double product =
          double{codes.scales[i / grouping.run]} * codes.multipliers[g] * codes.levels[i];
      const double min = grouping.has_mins ? double{codes.min_scale} * codes.mins[g] : 0.0;
      const double bound = (std::abs(product) + std::abs(min)) * 0x1p-22;  // four roundings
      EXPECT_NEAR(weights[i], product - min, bound) << info.name << ", weight " << i;
    }
  }
}

struct Damage {
  GgufType type;
  std::vector<std::byte> scale;
  size_t at;  // in the block
};

TEST(GgufBlocks, AreRefusedWithScalesThatAreNotFinite) {
  const auto inf = bytes({0x00, 0x7c}), minus_inf = bytes({0x00, 0xfc}), nan = bytes({0x01, 0x7e});
  const std::vector<Damage> all = {
      {GgufType::kQ4_0, inf, 0},
      {GgufType::kQ4_1, nan, 0},
      {GgufType::kQ4_1, inf, 2},
      {GgufType::kQ5_0, nan, 0},
      {GgufType::kQ5_1, inf, 0},
      {GgufType::kQ5_1, nan, 2},
      {GgufType::kQ8_0, inf, 0},
      {GgufType::kQ2_K, inf, 80},
      {GgufType::kQ2_K, nan, 82},
      {GgufType::kQ3_K, inf, 108},
      {GgufType::kQ4_K, minus_inf, 0},
      {GgufType::kQ4_K, nan, 2},
      {GgufType::kQ5_K, nan, 0},
      {GgufType::kQ5_K, inf, 2},
      {GgufType::kQ6_K, inf, 208},
      {GgufType::kIQ2_XXS, inf, 0},
      {GgufType::kIQ2_XS, nan, 0},
      {GgufType::kIQ2_S, inf, 0},
      {GgufType::kIQ3_XXS, nan, 0},
      {GgufType::kIQ3_S, inf, 0},
      {GgufType::kIQ1_S, nan, 0},
      {GgufType::kIQ1_M, bytes({0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x70}), 48},
      {GgufType::kIQ4_NL, inf, 0},
      {GgufType::kIQ4_XS, nan, 0},
      {GgufType::kMXFP4, bytes({255}), 0},
      {GgufType::kMXFP4, bytes({253}), 0},
  };
  for (const Damage& damage : all) {
    const GgufTypeInfo& info = info_of(damage.type);
    std::vector<std::byte> blocks(5 * info.block_bytes);  // all scales are zero
    EXPECT_TRUE(check_blocks(damage.type, blocks, "m").ok()) << info.name;
    std::copy(damage.scale.begin(), damage.scale.end(),
              blocks.begin() + static_cast<int64_t>(3 * info.block_bytes + damage.at));
    const Status status = check_blocks(damage.type, blocks, "m.gguf: tensor 'a'");
    ASSERT_FALSE(status.ok()) << info.name << ", byte " << damage.at;
    EXPECT_EQ(status.error().code, ErrorCode::kCorruptFile);
    EXPECT_THAT(status.error().message, testing::HasSubstr("m.gguf: tensor 'a': block 3 of 5"));
    EXPECT_THAT(status.error().message, testing::HasSubstr(info.name));
    EXPECT_FALSE(status.error().remedy.empty());
  }
}

TEST(GgufBlocks, OfNvfp4HaveNoScaleThatIsNotFinite) {
  auto block = bytes({0x7f, 0xff, 0x80, 0x7e});
  block.resize(36, static_cast<std::byte>(0x22));  // levels of 2, doubled
  EXPECT_TRUE(check_blocks(GgufType::kNVFP4, block, "m").ok());
  std::vector<float> out(64);
  unpack_blocks(GgufType::kNVFP4, block.data(), 1, out.data());
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_EQ(out[16], 480.0f);
  EXPECT_EQ(out[32], 0.0f);
  EXPECT_EQ(out[48], 448.0f);
}

TEST(GgufBlocks, OfMxfp4ReachTheEndsOfF32) {
  auto block = bytes({0});
  block.resize(17, static_cast<std::byte>(0x77));
  std::vector<float> out(32);
  unpack_blocks(GgufType::kMXFP4, block.data(), 1, out.data());
  EXPECT_EQ(out[0], 0x1p-127f * 6);
  block[0] = std::byte{252};
  EXPECT_TRUE(check_blocks(GgufType::kMXFP4, block, "m").ok());
  unpack_blocks(GgufType::kMXFP4, block.data(), 1, out.data());
  EXPECT_EQ(out[31], 0x1p125f * 6);
  block[0] = std::byte{253};
  unpack_blocks(GgufType::kMXFP4, block.data(), 1, out.data());
  EXPECT_EQ(out[31], std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace longhaul
