// The dtypes that the engine computes with and keeps state in, as the command line names them.
#pragma once

#include <string>

#include "base/result.h"
#include "tensor/dtype.h"

namespace longhaul {

// What the planner prices and nothing computes with yet: weights and caches in the formats of the release.
inline constexpr const char* kReleasedOption = "released";

// f32 or bf16; anything else is an error that names the flag.
inline Result<DType> compute_dtype(const std::string& option, const char* flag) {
  if (option == kReleasedOption) return unsupported("{} released can be planned, not run; use f32 or bf16", flag);
  const auto dtype = dtype_from_option(option);
  if (!dtype || *dtype == DType::kF16) return invalid("{} '{}' is not known here; use f32 or bf16", flag, option);
  return *dtype;
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
