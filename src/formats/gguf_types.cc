#include "formats/gguf_types.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"
#include "base/checked_math.h"
#include "formats/tensor_source.h"

namespace longhaul {
namespace {

constexpr std::array kTypes = {
    GgufTypeInfo{GgufType::kF32, "F32", 1, 4},
    GgufTypeInfo{GgufType::kF16, "F16", 1, 2},
    GgufTypeInfo{GgufType::kQ4_0, "Q4_0", 32, 18},
    GgufTypeInfo{GgufType::kQ4_1, "Q4_1", 32, 20},
    GgufTypeInfo{GgufType::kQ5_0, "Q5_0", 32, 22},
    GgufTypeInfo{GgufType::kQ5_1, "Q5_1", 32, 24},
    GgufTypeInfo{GgufType::kQ8_0, "Q8_0", 32, 34},
    GgufTypeInfo{GgufType::kQ2_K, "Q2_K", 256, 84},
    GgufTypeInfo{GgufType::kQ3_K, "Q3_K", 256, 110},
    GgufTypeInfo{GgufType::kQ4_K, "Q4_K", 256, 144},
    GgufTypeInfo{GgufType::kQ5_K, "Q5_K", 256, 176},
    GgufTypeInfo{GgufType::kQ6_K, "Q6_K", 256, 210},
    GgufTypeInfo{GgufType::kIQ2_XXS, "IQ2_XXS", 256, 66},
    GgufTypeInfo{GgufType::kIQ2_XS, "IQ2_XS", 256, 74},
    GgufTypeInfo{GgufType::kIQ3_XXS, "IQ3_XXS", 256, 98},
    GgufTypeInfo{GgufType::kIQ1_S, "IQ1_S", 256, 50},
    GgufTypeInfo{GgufType::kIQ4_NL, "IQ4_NL", 32, 18},
    GgufTypeInfo{GgufType::kIQ3_S, "IQ3_S", 256, 110},
    GgufTypeInfo{GgufType::kIQ2_S, "IQ2_S", 256, 82},
    GgufTypeInfo{GgufType::kIQ4_XS, "IQ4_XS", 256, 136},
    GgufTypeInfo{GgufType::kI8, "I8", 1, 1},
    GgufTypeInfo{GgufType::kI16, "I16", 1, 2},
    GgufTypeInfo{GgufType::kI32, "I32", 1, 4},
    GgufTypeInfo{GgufType::kI64, "I64", 1, 8},
    GgufTypeInfo{GgufType::kF64, "F64", 1, 8},
    GgufTypeInfo{GgufType::kIQ1_M, "IQ1_M", 256, 56},
    GgufTypeInfo{GgufType::kBF16, "BF16", 1, 2},
    GgufTypeInfo{GgufType::kTQ1_0, "TQ1_0", 256, 54},
    GgufTypeInfo{GgufType::kTQ2_0, "TQ2_0", 256, 66},
    GgufTypeInfo{GgufType::kMXFP4, "MXFP4", 32, 17},
    GgufTypeInfo{GgufType::kNVFP4, "NVFP4", 64, 36},
};

struct Refused {
  uint32_t number;
  const char* name;
  const char* why;
};
constexpr const char* kWithdrawn = "a type that was withdrawn from the format";
constexpr const char* kRepacked = "a repacked layout that was withdrawn from the format";
constexpr const char* kActivations = "a type of activations, which no file holds";
constexpr std::array kRefused = {
    Refused{4, "Q4_2", kWithdrawn},
    Refused{5, "Q4_3", kWithdrawn},
    Refused{9, "Q8_1", kActivations},
    Refused{15, "Q8_K", kActivations},
    Refused{31, "Q4_0_4_4", kRepacked},
    Refused{32, "Q4_0_4_8", kRepacked},
    Refused{33, "Q4_0_8_8", kRepacked},
    Refused{36, "IQ4_NL_4_4", kRepacked},
    Refused{37, "IQ4_NL_4_8", kRepacked},
    Refused{38, "IQ4_NL_8_8", kRepacked},
    Refused{41, "Q1_0", "a type that is not read"},
};
constexpr uint32_t kFirstOfForks = 97;

}  // namespace

std::span<const GgufTypeInfo> gguf_types() { return kTypes; }

const GgufTypeInfo& info_of(GgufType type) {
  const auto row = std::find_if(kTypes.begin(), kTypes.end(),
                                [&](const GgufTypeInfo& t) { return t.type == type; });
  LH_CHECK(row != kTypes.end());
  return *row;
}

std::optional<DType> dtype_of(GgufType type) {
  const GgufTypeInfo& info = info_of(type);
  return info.is_quantised() ? dtype_of_blocks(info.name) : dtype_from_safetensors(info.name);
}

Result<GgufType> gguf_type_of(uint32_t number, std::string_view where) {
  for (const GgufTypeInfo& row : kTypes) {
    if (static_cast<uint32_t>(row.type) == number) return row.type;
  }
  for (const Refused& row : kRefused) {
    if (row.number != number) continue;
    return unsupported("{}: type {} is {}, {}; get the model in another quantisation", where,
                       number, row.name, row.why);
  }
  const char* whose =
      number >= kFirstOfForks ? ", but some are of ik_llama.cpp and other forks" : "";
  return unsupported(
      "{}: type {} is not known, ggml's end at 41{}; get the model in another quantisation", where,
      number, whose);
}

Result<uint64_t> checked_nbytes(GgufType type, std::span<const int64_t> shape,
                                std::string_view where) {
  const GgufTypeInfo& info = info_of(type);
  std::optional<uint64_t> n_elements = 1;
  for (const int64_t extent : shape) {
    if (extent < 1) {
      return corrupt("{}: shape {} has an extent of {}, expected at least 1", where,
                     shape_text(shape), extent);
    }
    n_elements = checked_mul(*n_elements, static_cast<uint64_t>(extent));
    if (!n_elements || *n_elements > uint64_t{std::numeric_limits<int64_t>::max()})
      return corrupt("{}: shape {} has more than 2^63 - 1 elements", where, shape_text(shape));
  }
  if (shape.back() % info.block_elements != 0) {
    return corrupt("{}: a row has {} elements, expected whole blocks of {} ({})", where,
                   shape.back(), info.block_elements, info.name);
  }
  const auto n_bytes = checked_mul(*n_elements / info.block_elements, info.block_bytes);
  if (!n_bytes)
    return corrupt("{}: shape {} of {} overflows 64 bits", where, shape_text(shape), info.name);
  return *n_bytes;
}

}  // namespace longhaul
