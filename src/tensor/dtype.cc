#include "tensor/dtype.h"

#include <array>

namespace longhaul {
namespace {

struct Row {
  DType dtype;
  const char* name;
  ElementBlock block;
};

constexpr std::array kTable = {
    Row{DType::kF32, "F32", {1, 4}},
    Row{DType::kF16, "F16", {1, 2}},
    Row{DType::kBF16, "BF16", {1, 2}},
    Row{DType::kF64, "F64", {1, 8}},
    Row{DType::kI8, "I8", {1, 1}},
    Row{DType::kU8, "U8", {1, 1}},
    Row{DType::kI16, "I16", {1, 2}},
    Row{DType::kU16, "U16", {1, 2}},
    Row{DType::kI32, "I32", {1, 4}},
    Row{DType::kU32, "U32", {1, 4}},
    Row{DType::kI64, "I64", {1, 8}},
    Row{DType::kU64, "U64", {1, 8}},
    Row{DType::kBool, "BOOL", {1, 1}},
    Row{DType::kF8E4M3, "F8_E4M3", {1, 1}},
    Row{DType::kF8E5M2, "F8_E5M2", {1, 1}},
    Row{DType::kF8E8M0, "F8_E8M0", {1, 1}},
    Row{DType::kF4, "F4", {2, 1}},
    Row{DType::kQ4_0, "Q4_0", {32, 18}},
    Row{DType::kQ4_1, "Q4_1", {32, 20}},
    Row{DType::kQ5_0, "Q5_0", {32, 22}},
    Row{DType::kQ5_1, "Q5_1", {32, 24}},
    Row{DType::kQ8_0, "Q8_0", {32, 34}},
    Row{DType::kQ2_K, "Q2_K", {256, 84}},
    Row{DType::kQ3_K, "Q3_K", {256, 110}},
    Row{DType::kQ4_K, "Q4_K", {256, 144}},
    Row{DType::kQ5_K, "Q5_K", {256, 176}},
    Row{DType::kQ6_K, "Q6_K", {256, 210}},
    Row{DType::kIQ1_S, "IQ1_S", {256, 50}},
    Row{DType::kIQ1_M, "IQ1_M", {256, 56}},
    Row{DType::kIQ2_XXS, "IQ2_XXS", {256, 66}},
    Row{DType::kIQ2_XS, "IQ2_XS", {256, 74}},
    Row{DType::kIQ2_S, "IQ2_S", {256, 82}},
    Row{DType::kIQ3_XXS, "IQ3_XXS", {256, 98}},
    Row{DType::kIQ3_S, "IQ3_S", {256, 110}},
    Row{DType::kIQ4_NL, "IQ4_NL", {32, 18}},
    Row{DType::kIQ4_XS, "IQ4_XS", {256, 136}},
    Row{DType::kMXFP4, "MXFP4", {32, 17}},
    Row{DType::kNVFP4, "NVFP4", {64, 36}},
};

const Row& row_of(DType dtype) { return kTable[static_cast<size_t>(dtype)]; }

std::optional<DType> named(std::string_view name, bool in_blocks) {
  for (const Row& row : kTable) {
    if (name == row.name && is_quantised(row.dtype) == in_blocks) return row.dtype;
  }
  return std::nullopt;
}

}  // namespace

ElementBlock block_of(DType dtype) { return row_of(dtype).block; }
bool is_quantised(DType dtype) { return row_of(dtype).block.elements > 2; }
uint64_t bits_per_element(DType dtype) {
  const ElementBlock block = block_of(dtype);
  return static_cast<uint64_t>(block.bytes * 8 / block.elements);
}
const char* to_string(DType dtype) { return row_of(dtype).name; }

std::optional<DType> dtype_from_safetensors(std::string_view name) { return named(name, false); }
std::optional<DType> dtype_of_blocks(std::string_view name) { return named(name, true); }

std::optional<DType> dtype_from_option(std::string_view name) {
  if (name == "f32") return DType::kF32;
  if (name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  return std::nullopt;
}

}  // namespace longhaul
