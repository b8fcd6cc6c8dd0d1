// Element types of tensors in files and in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace longhaul {

// The types that files hold. What packed weights are made of is a codec's business
// (kernels/codecs/codec.h).
enum class DType {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kU8,
  kI16,
  kU16,
  kI32,
  kU32,
  kI64,
  kU64,
  kBool,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF4,
  // Blocks of quantised elements with their scales, of GGUF files.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ1_S,
  kIQ1_M,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ3_XXS,
  kIQ3_S,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kNVFP4,
};

// What is stored as one: a single element, two of 4 bits, or a block that shares scales.
struct ElementBlock {
  int64_t elements = 1, bytes = 0;
};
ElementBlock block_of(DType dtype);
// Whether elements come in blocks with their scales: none can be read alone.
bool is_quantised(DType dtype);
// Of whole blocks.
inline uint64_t stored_bytes(DType dtype, int64_t n_elements) {
  const ElementBlock block = block_of(dtype);
  return static_cast<uint64_t>(n_elements / block.elements) * static_cast<uint64_t>(block.bytes);
}

uint64_t bits_per_element(DType dtype);  // not of those in blocks, of which none has bits alone
const char* to_string(DType dtype);      // as files spell it: "BF16", "Q4_K"
std::optional<DType> dtype_from_safetensors(std::string_view name);
std::optional<DType> dtype_of_blocks(std::string_view name);  // "Q4_K"; not "BF16"
std::optional<DType> dtype_from_option(
    std::string_view name);  // the command line's spelling: "bf16", "f32"

inline uint64_t bytes_per_element(DType dtype) { return (bits_per_element(dtype) + 7) / 8; }

}  // namespace longhaul
