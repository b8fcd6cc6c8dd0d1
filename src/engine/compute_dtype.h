// The dtypes that the engine computes with and keeps state in, as the command line names them.
#pragma once

#include <string>

#include "base/result.h"
#include "tensor/weight_format.h"

namespace longhaul {

// The cache format of the release.
inline constexpr const char* kReleasedOption = "released";

inline Result<WeightFormat> weight_format(const std::string& option) {
  const auto format = weight_format_from_option(option);
  if (!format) return invalid("--weights '{}' is not known here; use f32, bf16, q8, q4 or released", option);
  return *format;
}

// Of the cache: also 8 bits with a scale a vector.
inline Result<DType> state_dtype(const std::string& option) {
  if (option == "q8") return DType::kI8;
  if (option == kReleasedOption) return unsupported("--kv released can be planned, not run; use f32, bf16 or q8");
  const auto dtype = dtype_from_option(option);
  if (!dtype || *dtype == DType::kF16) return invalid("--kv '{}' is not known here; use f32, bf16 or q8", option);
  return *dtype;
}
inline const char* state_dtype_name(DType dtype) { return dtype == DType::kI8 ? "Q8" : to_string(dtype); }

}  // namespace longhaul
