#include "mechanisms/resident_weights.h"

#include <algorithm>

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

uint64_t expert_bytes(const Architecture& arch, const MoeSpec& moe, DType packed) {
  uint64_t bytes = 0;
  for (WeightId id : {moe.gate_proj, moe.up_proj, moe.down_proj}) {
    bytes += resident_bytes(arch.weight(id), packed) / static_cast<uint64_t>(moe.n_experts);
  }
  return bytes;
}

uint64_t expert_weight_bytes(const Architecture& arch, DType packed) {
  uint64_t bytes = 0;
  for_each_moe(arch, [&](const MoeSpec& moe) { bytes += static_cast<uint64_t>(moe.n_experts) * expert_bytes(arch, moe, packed); });
  return bytes;
}

Result<ExpertCacheLayout> expert_cache_layout(const Architecture& arch, DType packed, int n_threads, uint64_t max_bytes) {
  ExpertCacheLayout layout;
  int64_t widest = 0;
  for_each_moe(arch, [&](const MoeSpec& moe) {
    layout.n_experts += moe.n_experts;
    layout.slot_bytes = std::max(layout.slot_bytes, expert_bytes(arch, moe, packed));
    layout.max_top_k = std::max(layout.max_top_k, moe.top_k);
    layout.n_chosen += moe.top_k;
    widest = std::max({widest, arch.weight(moe.gate_proj).cols, arch.weight(moe.down_proj).cols});
  });
  if (layout.n_experts == 0) return invalid("an expert cache is of no use: the model has no experts");
  layout.widen_bytes = static_cast<uint64_t>(n_threads) * static_cast<uint64_t>(kPanel * widest) * sizeof(float);
  const uint64_t least = static_cast<uint64_t>(layout.max_top_k) * layout.slot_bytes + layout.widen_bytes;
  if (max_bytes < least) {
    return make_error(
        ErrorCode::kOverBudget,
        "an expert cache of {} bytes does not hold a token's {} experts of one layer: {} bytes are the least, {} hold all {} experts",
        max_bytes, layout.max_top_k, least, static_cast<uint64_t>(layout.n_experts) * layout.slot_bytes + layout.widen_bytes,
        layout.n_experts);
  }
  layout.n_slots = std::min(layout.n_experts, static_cast<int64_t>((max_bytes - layout.widen_bytes) / layout.slot_bytes));
  return layout;
}

}  // namespace longhaul
