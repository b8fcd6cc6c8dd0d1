// How the matrices of a model are kept in memory, as a whole; what each of them becomes is in
// mechanisms/resident_weights.h.
#pragma once

#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace longhaul {

enum class WeightFormat {
  kF32,
  kBF16,
  kQ8,  // blocks of 8-bit integers; small and sensitive matrices in bf16
  kQ4,  // blocks of 4-bit codes; the head in 8 bits, small and sensitive matrices in bf16
  // each in the type in which the checkpoint holds it: E4M3 with block scales, MXFP4, bf16
  kReleased,
};

const char* to_string(WeightFormat format);    // "BF16"
const char* option_name(WeightFormat format);  // the command line's spelling: "bf16"
std::optional<WeightFormat> weight_format_from_option(std::string_view name);
bool is_quantised(WeightFormat format);  // kQ8, kQ4

// The type of what is computed with beside the matrices.
inline DType compute_dtype_of(WeightFormat format) {
  return format == WeightFormat::kF32 ? DType::kF32 : DType::kBF16;
}
WeightFormat plain_format(DType dtype);  // kF32 or kBF16

}  // namespace longhaul
