// Blocks of quantised files in panels: what a codec keeps is what the file's format defines, bit
// for bit.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "checkpoint/pack.h"
#include "formats/gguf_blocks.h"
#include "formats/widen.h"
#include "kernels/kernels_testing.h"

namespace longhaul {
namespace {

// Blocks of random bytes but for scales that the format has no use for.
class RandomBlocks {
 public:
  RandomBlocks(DType type, int64_t rows, int64_t cols) : type_(type), cols_(cols) {
    const ElementBlock block = block_of(type);
    std::mt19937 random(static_cast<uint32_t>(type));
    std::vector<std::byte> one(static_cast<size_t>(block.bytes));
    for (int64_t b = 0; b < rows * cols / block.elements;) {
      for (std::byte& byte : one) byte = static_cast<std::byte>(random());
      const TensorInfo info{.name = "w", .dtype = type, .shape = {1, block.elements}, .bytes = one};
      if (!check_scales(info, 0, block.elements, "it").ok()) continue;
      bytes_.insert(bytes_.end(), one.begin(), one.end());
      ++b;
    }
    tensor_ = {.name = "w", .dtype = type, .shape = {rows, cols}, .bytes = bytes_};
  }
  StoredMatrix matrix(const TensorInfo* factor = nullptr) const {
    return {{&tensor_, factor}, 0, tensor_.shape[0], cols_};
  }
  // As the file's format defines them.
  std::vector<float> row(int64_t r) const {
    std::vector<float> out(static_cast<size_t>(cols_));
    widen_elements(tensor_, r * cols_, cols_, out.data());
    return out;
  }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  DType type_;
  int64_t cols_;
  std::vector<std::byte> bytes_;
  TensorInfo tensor_;
};

std::vector<DType> block_dtypes() {
  std::vector<DType> types;
  for (const GgufBlockType& type : gguf_block_types()) types.push_back(*dtype_of(type.type));
  return types;
}

class PackBlocks : public ::testing::TestWithParam<DType> {
 protected:
  // The least width that leaves a block of a panel half filled, where the type's blocks can.
  static int64_t cols() { return block_of(GetParam()).elements == 32 ? 160 : 512; }
};

TEST_P(PackBlocks, KeepsEveryValue) {
  const int64_t rows = 21;
  const RandomBlocks blocks(GetParam(), rows, cols());
  const Codec& codec = stored_codec(blocks.matrix().tensor);
  ASSERT_STRNE(codec.name, kBf16Codec.name);
  AlignedBytes packed(codec.bytes(rows, cols()));
  ASSERT_TRUE(pack(blocks.matrix(), 0, rows, codec, packed.data(), nullptr).ok());
  std::vector<float> kept(static_cast<size_t>(cols()));
  for (int64_t r = 0; r < rows; ++r) {
    codec.unpack({packed.data(), &codec, rows, cols()}, r, kept.data());
    const std::vector<float> expected = blocks.row(r);
    for (size_t i = 0; i < kept.size(); ++i) {
      // A scale of 2^-127 becomes 0 in panels of MXFP4; zeros may change their sign.
      if (GetParam() == DType::kMXFP4 && std::abs(expected[i]) < 0x1p-120f) continue;
      ASSERT_EQ(kept[i], expected[i]) << to_string(GetParam()) << " row " << r << ", column " << i;
    }
  }
}

TEST_P(PackBlocks, PartsEqualTheWhole) {
  const int64_t rows = 40;
  const RandomBlocks blocks(GetParam(), rows, cols());
  const Codec& codec = stored_codec(blocks.matrix().tensor);
  AlignedBytes whole(codec.bytes(rows, cols())), parts(codec.bytes(rows, cols()));
  std::memset(parts.data(), 0xee, parts.span().size());
  ASSERT_TRUE(pack(blocks.matrix(), 0, rows, codec, whole.data(), nullptr).ok());
  ASSERT_TRUE(pack(blocks.matrix(), 0, 16, codec, parts.data(), nullptr).ok());
  ASSERT_TRUE(
      pack(blocks.matrix(), 16, rows - 16, codec, parts.data() + codec.bytes(16, cols()), nullptr)
          .ok());
  EXPECT_EQ(std::memcmp(whole.data(), parts.data(), whole.span().size()), 0);
}

TEST_P(PackBlocks, TakeNoMoreThanTheSpecificationSays) {
  const Codec& codec = stored_codec(RandomBlocks(GetParam(), 1, cols()).matrix().tensor);
  const double bits = static_cast<double>(codec.layout.block_bytes) * 8 / (kQuantBlock * kPanel);
  EXPECT_LE(bits, codec.layout.block_bytes > kByteCodes ? 9.0 : 5.25) << to_string(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Types, PackBlocks, ::testing::ValuesIn(block_dtypes()),
                         [](const auto& type) { return to_string(type.param); });

// What stands beside NVFP4 multiplies all of it.
TEST(PackBlocks, FactorsAreMultipliedIn) {
  const RandomBlocks blocks(DType::kNVFP4, 16, 512);
  const float factor = 0.37f;
  const TensorInfo beside{.name = "w.scale",
                          .dtype = DType::kF32,
                          .shape = {1},
                          .bytes = std::as_bytes(std::span(&factor, 1))};
  const StoredMatrix matrix = blocks.matrix(&beside);
  const Codec& codec = stored_codec(matrix.tensor);
  AlignedBytes packed(codec.bytes(16, 512));
  ASSERT_TRUE(pack(matrix, 0, 16, codec, packed.data(), nullptr).ok());
  std::vector<float> kept(512), expected(512);
  codec.unpack({packed.data(), &codec, 16, 512}, 5, kept.data());
  decode_rows(matrix.tensor, 5, 1, 512, expected.data());
  EXPECT_EQ(kept, expected);
}

TEST(PackBlocks, RefuseScalesThatAreNoNumbers) {
  RandomBlocks blocks(DType::kQ4_K, 16, 512);
  const uint16_t infinity = 0x7c00;
  std::memcpy(blocks.bytes().data() + 144, &infinity, 2);
  const Codec& codec = stored_codec(blocks.matrix().tensor);
  AlignedBytes packed(codec.bytes(16, 512));
  const auto made = pack(blocks.matrix(), 0, 16, codec, packed.data(), nullptr);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kCorruptFile);
}

}  // namespace
}  // namespace longhaul
