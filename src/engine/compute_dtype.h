// The formats in which the engine keeps weights and state, as the command line names them.
#pragma once

#include <string>

#include "base/result.h"
#include "tensor/state_format.h"
#include "tensor/weight_format.h"

namespace longhaul {

inline Result<WeightFormat> weight_format(const std::string& option) {
  const auto format = weight_format_from_option(option);
  if (!format) return invalid("--weights '{}' is not known here; use f32, bf16, q8, q4 or released", option);
  return *format;
}

inline Result<StateFormat> state_format(const std::string& option) {
  if (option == "q8") return StateFormat(DType::kI8);
  if (option == "released") return StateFormat(DType::kBF16, CacheFormat::kReleased);
  const auto dtype = dtype_from_option(option);
  if (!dtype || *dtype == DType::kF16) return invalid("--kv '{}' is not known here; use f32, bf16, q8 or released", option);
  return StateFormat(*dtype);
}
inline const char* state_format_name(const StateFormat& format) {
  if (format.cache == CacheFormat::kReleased) return "released";
  return format.dtype == DType::kI8 ? "Q8" : to_string(format.dtype);
}

}  // namespace longhaul
