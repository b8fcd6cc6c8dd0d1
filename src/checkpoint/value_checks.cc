#include "checkpoint/value_checks.h"

#include <cstring>

#include "checkpoint/finite.h"
#include "formats/widen.h"

namespace longhaul {

Status widen_vector(const TensorInfo& t, const WeightSpec& w, float* out) {
  widen_elements(t, 0, w.n_elements(), out);
  Status status =
      check_finite(DType::kF32, reinterpret_cast<const std::byte*>(out), w.n_elements(), 0);
  if (status.ok()) return status;
  return in_context(fmt::format("{}: tensor '{}'", t.where(), t.name), status.take_error());
}

Status check_index(const TensorInfo& t, const WeightSpec& w) {
  const uint64_t bytes = bytes_per_element(t.dtype);
  for (int64_t i = 0; i < w.n_elements(); ++i) {
    int64_t value = 0;
    std::memcpy(&value, t.bytes.data() + static_cast<uint64_t>(i) * bytes, bytes);
    if (t.dtype == DType::kI32) value = static_cast<int32_t>(value);
    if (value < 0 || value >= w.limit) {
      return corrupt(
          "tensor '{}' holds {} in row {}, expected 0 to {}; download the checkpoint again", t.name,
          value, i / w.cols, w.limit - 1);
    }
  }
  return {};
}

}  // namespace longhaul
