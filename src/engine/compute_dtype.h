// The dtypes that the engine computes with and keeps state in, as the command line names them.
#pragma once

#include <string>

#include "base/result.h"
#include "tensor/dtype.h"

namespace longhaul {

// f32 or bf16; anything else is an error that names the flag.
inline Result<DType> compute_dtype(const std::string& option, const char* flag) {
  const auto dtype = dtype_from_option(option);
  if (!dtype || *dtype == DType::kF16) return invalid("{} '{}' is not known here; use f32 or bf16", flag, option);
  return *dtype;
}

// Of the cache: also 8 bits with a scale a vector.
inline Result<DType> state_dtype(const std::string& option) {
  if (option == "q8") return DType::kI8;
  const auto dtype = dtype_from_option(option);
  if (!dtype || *dtype == DType::kF16) return invalid("--kv '{}' is not known here; use f32, bf16 or q8", option);
  return *dtype;
}
inline const char* state_dtype_name(DType dtype) { return dtype == DType::kI8 ? "Q8" : to_string(dtype); }

}  // namespace longhaul
