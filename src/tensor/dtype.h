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
  kF4
};

uint64_t bits_per_element(DType dtype);
const char* to_string(DType dtype);  // the safetensors spelling: "BF16"
std::optional<DType> dtype_from_safetensors(std::string_view name);
std::optional<DType> dtype_from_option(
    std::string_view name);  // the command line's spelling: "bf16", "f32"

inline uint64_t bytes_per_element(DType dtype) { return (bits_per_element(dtype) + 7) / 8; }

}  // namespace longhaul
