// Elements of float data in any of the types that checkpoints keep weights and scales in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/numbers.h"
#include "tensor/dtype.h"

namespace longhaul {

inline bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// Element i of data of such a type, or of scales that are powers of two (F8_E8M0). It need not be
// aligned.
inline float float_at(const void* data, DType dtype, int64_t i) {
  const auto* bytes = static_cast<const std::byte*>(data);
  if (dtype == DType::kF8E8M0) return to_f32(e8m0{static_cast<uint8_t>(bytes[i])});
  if (dtype == DType::kF32) {
    float x;
    std::memcpy(&x, bytes + 4 * i, sizeof x);
    return x;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes + 2 * i, sizeof bits);
  return dtype == DType::kBF16 ? to_f32(bf16{bits}) : to_f32(f16{bits});
}

}  // namespace longhaul
