// How a sequence's rows are kept.
#pragma once

#include "tensor/dtype.h"
#include "tensor/row_format.h"

namespace longhaul {

// Plain elements of a dtype (kF32, kBF16, or kI8 with a scale a vector); or, where a model was
// released with a cache format, in that.
struct StateFormat {
  DType dtype = DType::kBF16;
  CacheFormat cache = CacheFormat::kAsDtype;

  constexpr StateFormat() = default;
  constexpr StateFormat(DType d, CacheFormat c = CacheFormat::kAsDtype)
      : dtype(d), cache(c) {}  // NOLINT: a dtype is a format
  bool operator==(const StateFormat&) const = default;
};

}  // namespace longhaul
