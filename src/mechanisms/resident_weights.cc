#include "mechanisms/resident_weights.h"

#include "kernels/panels.h"

namespace longhaul {

uint64_t resident_bytes(const WeightSpec& w, DType packed) {
  switch (w.use) {
    case WeightUse::kMatrix:
    case WeightUse::kExpert: return static_cast<uint64_t>(w.n_experts) * packed_bytes(packed, w.rows, w.cols);
    case WeightUse::kFine: return packed_bytes(DType::kF32, w.rows, w.cols);
    case WeightUse::kVector:
    case WeightUse::kTaps: return sizeof(float) * static_cast<uint64_t>(w.n_elements());
    case WeightUse::kLookup:
    case WeightUse::kIndex: return 0;
  }
  return 0;
}

uint64_t resident_weight_bytes(const Architecture& arch, DType packed) {
  uint64_t bytes = 0;
  for_each_weight(arch, [&](WeightId id) { bytes += resident_bytes(arch.weight(id), packed); });
  return bytes;
}

}  // namespace longhaul
