// The element types of GGUF files, one row a type. Their numbers and names are ggml's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/errors.h"
#include "tensor/dtype.h"

namespace longhaul {

// Numbered as in files. The numbers left out were withdrawn, are never stored, or are a fork's.
enum class GgufType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
};

struct GgufTypeInfo {
  GgufType type;
  const char* name;         // "Q4_K"
  uint32_t block_elements;  // that are stored together; a row is whole blocks
  uint32_t block_bytes;

  bool is_quantised() const { return block_elements > 1; }
};

std::span<const GgufTypeInfo> gguf_types();  // by number
const GgufTypeInfo& info_of(GgufType type);

// The same type as tensors of any format have it. Nothing for those that are not read: TQ1_0,
// TQ2_0.
std::optional<DType> dtype_of(GgufType type);

// The type of this number in a file. An error says what the number stands for, if it is known;
// `where` opens it (file and tensor).
Result<GgufType> gguf_type_of(uint32_t number, std::string_view where);

// The size of a tensor in bytes; the last extent of `shape` is a row. An extent below 1, a row that
// is not whole blocks and overflow are errors; `where` opens them.
Result<uint64_t> checked_nbytes(GgufType type, std::span<const int64_t> shape,
                                std::string_view where);

}  // namespace longhaul
