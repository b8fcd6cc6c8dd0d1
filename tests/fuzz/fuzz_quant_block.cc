// Blocks of quantised weights: the number of a GGUF type, then bytes of blocks. Every content is
// unpacked, blocks by themselves as all at once; those that are not refused are finite.

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "check_error.h"
#include "formats/gguf_blocks.h"

namespace longhaul {
namespace {

void check_unpacked(const GgufBlockType& row, std::span<const std::byte> blocks) {
  const GgufTypeInfo& info = info_of(row.type);
  const size_t n_blocks = blocks.size() / info.block_bytes, width = info.block_elements;
  std::vector<float> whole(n_blocks * width), alone(width);
  unpack_blocks(row.type, blocks.data(), static_cast<int64_t>(n_blocks), whole.data());
  for (size_t b = 0; b < n_blocks; ++b) {
    const auto block = blocks.subspan(b * info.block_bytes, info.block_bytes);
    row.unpack(block.data(), 1, alone.data());
    const auto status = check_blocks(row.type, block, "input");
    if (!status.ok()) check_error(status.error());
    for (size_t i = 0; i < width; ++i) {
      const float weight = whole[b * width + i];
      LH_CHECK(std::bit_cast<uint32_t>(alone[i]) == std::bit_cast<uint32_t>(weight));
      LH_CHECK(!status.ok() || std::isfinite(weight));
    }
  }
}

}  // namespace
}  // namespace longhaul

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  if (size == 0) return 0;
  const auto type = gguf_type_of(data[0], "input");
  if (!type.ok()) {
    check_error(type.error());
    return 0;
  }
  const GgufBlockType* row = gguf_block_type(*type);
  if (row == nullptr) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  check_unpacked(
      *row, bytes.first(bytes.size() / info_of(*type).block_bytes * info_of(*type).block_bytes));
  return 0;
}
