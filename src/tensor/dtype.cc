#include "tensor/dtype.h"

#include <array>

namespace longhaul {
namespace {

struct Row {
  DType dtype;
  const char* name;
  uint64_t bits;
};

constexpr std::array kTable = {
    Row{DType::kF32, "F32", 32},       Row{DType::kF16, "F16", 16},
    Row{DType::kBF16, "BF16", 16},     Row{DType::kF64, "F64", 64},
    Row{DType::kI8, "I8", 8},          Row{DType::kU8, "U8", 8},
    Row{DType::kI16, "I16", 16},       Row{DType::kU16, "U16", 16},
    Row{DType::kI32, "I32", 32},       Row{DType::kU32, "U32", 32},
    Row{DType::kI64, "I64", 64},       Row{DType::kU64, "U64", 64},
    Row{DType::kBool, "BOOL", 8},      Row{DType::kF8E4M3, "F8_E4M3", 8},
    Row{DType::kF8E5M2, "F8_E5M2", 8}, Row{DType::kF8E8M0, "F8_E8M0", 8},
    Row{DType::kF4, "F4", 4},
};

}  // namespace

uint64_t bits_per_element(DType dtype) { return kTable[static_cast<size_t>(dtype)].bits; }
const char* to_string(DType dtype) { return kTable[static_cast<size_t>(dtype)].name; }

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const auto& row : kTable) {
    if (name == row.name) return row.dtype;
  }
  return std::nullopt;
}

std::optional<DType> dtype_from_option(std::string_view name) {
  if (name == "f32") return DType::kF32;
  if (name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  return std::nullopt;
}

}  // namespace longhaul
