#include "formats/widen.h"

#include <algorithm>
#include <array>

#include "formats/coded_tensor.h"
#include "formats/gguf_blocks.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

struct BlockType {
  const GgufBlockType* type = nullptr;  // null where elements are no blocks
  BlockDecoder decoder;
};
// By the number of the type.
using BlockTypes = std::array<BlockType, static_cast<size_t>(DType::kNVFP4) + 1>;

const BlockType& block_type_of(DType dtype) {
  static const BlockTypes types = [] {
    BlockTypes by_dtype;
    for (const GgufBlockType& type : gguf_block_types())
      by_dtype[static_cast<size_t>(*dtype_of(type.type))] = {
          &type, {type.grouping, int64_t{info_of(type.type).block_bytes}, type.decode}};
    return by_dtype;
  }();
  return types[static_cast<size_t>(dtype)];
}

const GgufBlockType* block_type(DType dtype) { return block_type_of(dtype).type; }

std::span<const std::byte> bytes_of(const TensorInfo& t, int64_t first, int64_t n) {
  return t.bytes.subspan(stored_bytes(t.dtype, first), stored_bytes(t.dtype, n));
}

}  // namespace

Unpack unpack_of(DType dtype) {
  const GgufBlockType* type = block_type(dtype);
  return type == nullptr ? nullptr : type->unpack;
}

const BlockDecoder* decoder_of(DType dtype) {
  const BlockType& type = block_type_of(dtype);
  return type.type == nullptr ? nullptr : &type.decoder;
}

bool holds_weights(DType dtype) { return is_float(dtype) || unpack_of(dtype) != nullptr; }

bool holds_weights(const TensorInfo& t) { return t.coded != nullptr || holds_weights(t.dtype); }

void widen_elements(const TensorInfo& t, int64_t first, int64_t n, float* out) {
  if (t.coded != nullptr) {
    const int64_t cols = t.coded->cols();
    for (int64_t i = 0; i < n; i += cols)
      t.coded->read((first + i) / cols, 0, std::min(cols, n - i), out + i);
    return;
  }
  const std::byte* data = bytes_of(t, first, n).data();
  if (const Unpack unpack = unpack_of(t.dtype))
    return unpack(data, n / block_of(t.dtype).elements, out);
  for (int64_t i = 0; i < n; ++i) out[i] = float_at(data, t.dtype, i);
}

std::optional<std::vector<float>> widened(const GgufTensor& tensor) {
  const auto dtype = dtype_of(tensor.type);
  if (!dtype || !holds_weights(*dtype)) return std::nullopt;
  const ElementBlock block = block_of(*dtype);
  const auto n = static_cast<int64_t>(tensor.bytes.size()) / block.bytes * block.elements;
  std::vector<float> elements(static_cast<size_t>(n));
  widen_elements({.dtype = *dtype, .bytes = tensor.bytes}, 0, n, elements.data());
  return elements;
}

Status check_scales(const TensorInfo& t, int64_t first, int64_t n, std::string_view where) {
  const GgufBlockType* type = t.coded != nullptr ? nullptr : block_type(t.dtype);
  return type == nullptr ? Status() : check_blocks(type->type, bytes_of(t, first, n), where);
}

}  // namespace longhaul
