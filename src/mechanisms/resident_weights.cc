#include "mechanisms/resident_weights.h"

#include <algorithm>

#include "kernels/codecs/panels.h"

namespace longhaul {
namespace {

DType as_released(const WeightSpec& w) {
  constexpr int64_t kBlockRows = 128;
  const bool whole_blocks = w.first_row % kBlockRows == 0 && (w.n_experts == 1 || w.n_tensors > 1 ||
                                                              w.expert_stride % kBlockRows == 0);
  if (w.released == DType::kF8E4M3 && whole_blocks) return DType::kF8E4M3;
  if (w.released == DType::kF4) return DType::kF4;
  return w.released == DType::kF32 ? DType::kF32 : DType::kBF16;
}

}  // namespace

DType packed_dtype(const WeightSpec& w, WeightFormat format) {
  if (w.use == WeightUse::kFine) return DType::kF32;
  switch (format) {
    case WeightFormat::kF32: return DType::kF32;
    case WeightFormat::kBF16: return DType::kBF16;
    case WeightFormat::kReleased: return as_released(w);
    case WeightFormat::kQ8: return w.rounding == Rounding::kNever ? DType::kBF16 : DType::kQ8;
    case WeightFormat::kQ4:
      return w.rounding == Rounding::kNever   ? DType::kBF16
             : w.rounding == Rounding::kFiner ? DType::kQ8
                                              : DType::kQ4;
  }
  return DType::kBF16;
}

uint64_t resident_bytes(const WeightSpec& w, WeightFormat format) {
  switch (w.use) {
    case WeightUse::kMatrix:
    case WeightUse::kExpert:
    case WeightUse::kFine:
      return static_cast<uint64_t>(w.n_experts) *
             packed_bytes(packed_dtype(w, format), w.rows, w.cols);
    case WeightUse::kVector:
    case WeightUse::kTaps: return sizeof(float) * static_cast<uint64_t>(w.n_elements());
    case WeightUse::kLookup:
    case WeightUse::kIndex: return 0;
  }
  return 0;
}

uint64_t resident_weight_bytes(const Architecture& arch, WeightFormat format) {
  uint64_t bytes = 0;
  for_each_weight(arch, [&](WeightId id) { bytes += resident_bytes(arch.weight(id), format); });
  return bytes;
}

uint64_t expert_bytes(const Architecture& arch, const Mixture& mixture, WeightFormat format) {
  uint64_t bytes = 0;
  for (WeightId id : mixture.matrices) {
    bytes += resident_bytes(arch.weight(id), format) / static_cast<uint64_t>(mixture.n_experts);
  }
  return bytes;
}

uint64_t expert_weight_bytes(const Architecture& arch, WeightFormat format) {
  uint64_t bytes = 0;
  for (const Mixture& m : mixtures(arch)) {
    bytes += static_cast<uint64_t>(m.n_experts) * expert_bytes(arch, m, format);
  }
  return bytes;
}

Result<ExpertCacheLayout> expert_cache_layout(const Architecture& arch, WeightFormat format,
                                              int n_threads, uint64_t max_bytes) {
  ExpertCacheLayout layout;
  int64_t widest = 0;
  for (const Mixture& m : mixtures(arch)) {
    layout.n_experts += m.n_experts;
    layout.slot_bytes = std::max(layout.slot_bytes, expert_bytes(arch, m, format));
    layout.max_top_k = std::max(layout.max_top_k, m.top_k);
    layout.n_chosen += m.top_k;
    for (WeightId id : m.matrices) widest = std::max(widest, arch.weight(id).cols);
  }
  if (layout.n_experts == 0)
    return invalid("an expert cache is of no use, since the model has no experts; leave it out");
  layout.widen_bytes =
      static_cast<uint64_t>(n_threads) * static_cast<uint64_t>(kPanel * widest) * sizeof(float);
  const uint64_t least =
      static_cast<uint64_t>(layout.max_top_k) * layout.slot_bytes + layout.widen_bytes;
  if (max_bytes < least) {
    return make_error(
        ErrorCode::kOverBudget,
        "an expert cache of {} bytes does not hold a token's {} experts of one layer: {} bytes are "
        "the least, {} hold all {} "
        "experts; give a larger one",
        max_bytes, layout.max_top_k, least,
        static_cast<uint64_t>(layout.n_experts) * layout.slot_bytes + layout.widen_bytes,
        layout.n_experts);
  }
  layout.n_slots = std::min(
      layout.n_experts, static_cast<int64_t>((max_bytes - layout.widen_bytes) / layout.slot_bytes));
  return layout;
}

}  // namespace longhaul
