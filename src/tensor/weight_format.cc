#include "tensor/weight_format.h"

#include <array>

namespace longhaul {
namespace {

struct Row {
  const char *name, *option;
};

constexpr std::array kTable = {Row{"F32", "f32"}, Row{"BF16", "bf16"}, Row{"Q8", "q8"},
                               Row{"Q4", "q4"}, Row{"as released", "released"}};

}  // namespace

const char* to_string(WeightFormat format) { return kTable[static_cast<size_t>(format)].name; }
const char* option_name(WeightFormat format) { return kTable[static_cast<size_t>(format)].option; }

std::optional<WeightFormat> weight_format_from_option(std::string_view name) {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (name == kTable[i].option) return static_cast<WeightFormat>(i);
  }
  return std::nullopt;
}

bool is_quantised(WeightFormat format) {
  return format == WeightFormat::kQ8 || format == WeightFormat::kQ4;
}
WeightFormat plain_format(DType dtype) {
  return dtype == DType::kF32 ? WeightFormat::kF32 : WeightFormat::kBF16;
}

}  // namespace longhaul
