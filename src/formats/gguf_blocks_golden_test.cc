// Blocks of every type, and what the reference's Python package (gguf 0.19.0) dequantises them to:
// tools/make_gguf_block_goldens.py, November 2026.

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "formats/gguf_blocks.h"
#include "formats/safetensors.h"

namespace longhaul {
namespace {

uint64_t fnv1a(std::span<const std::byte> bytes) {
  uint64_t value = 0xcbf29ce484222325;
  for (const std::byte b : bytes) value = (value ^ std::to_integer<uint64_t>(b)) * 0x100000001b3;
  return value;
}

struct Golden {
  std::span<const std::byte> blocks;
  std::vector<uint64_t> hashes;  // of the weights of each block
};

Golden golden_of(const TensorSource& source, const std::string& type) {
  const TensorInfo* blocks = source.find(type + ".blocks");
  const TensorInfo* hashes = source.find(type + ".hashes");
  EXPECT_TRUE(blocks != nullptr && hashes != nullptr) << type;
  Golden golden{blocks->bytes, std::vector<uint64_t>(hashes->bytes.size() / 8)};
  std::memcpy(golden.hashes.data(), hashes->bytes.data(), hashes->bytes.size());
  return golden;
}

TEST(GgufBlocksGolden, UnpackToTheReferencesBits) {
  const auto source =
      open_safetensors(std::string(LH_SOURCE_DIR) + "/tests/golden/gguf/blocks.safetensors");
  ASSERT_TRUE(source.ok()) << source.error().text();
  for (const GgufBlockType& row : gguf_block_types()) {
    const GgufTypeInfo& info = info_of(row.type);
    const Golden golden = golden_of(*source, info.name);
    const size_t n_blocks = golden.hashes.size();
    ASSERT_EQ(golden.blocks.size(), n_blocks * info.block_bytes) << info.name;
    EXPECT_TRUE(check_blocks(row.type, golden.blocks, info.name).ok());
    std::vector<float> weights(n_blocks * info.block_elements);
    unpack_blocks(row.type, golden.blocks.data(), static_cast<int64_t>(n_blocks), weights.data());
    for (size_t b = 0; b < n_blocks; ++b) {
      const auto block = std::span(weights).subspan(b * info.block_elements, info.block_elements);
      ASSERT_EQ(fnv1a(std::as_bytes(block)), golden.hashes[b]) << info.name << ", block " << b;
    }
  }
}

}  // namespace
}  // namespace longhaul
