#include "mechanisms/resident_weights.h"

#include <algorithm>

namespace longhaul {

const Codec& kept_codec(const WeightSpec& w, const Codec& codec) {
  const bool one_by_one = w.n_experts == 1 || w.n_tensors > 1;
  const bool whole_scales = w.first_row % codec.rows_per_scale == 0 &&
                            (one_by_one || w.expert_stride % codec.rows_per_scale == 0);
  return whole_scales ? codec : kBf16Codec;
}

const Codec& packed_codec(const WeightSpec& w, const WeightFormat& format) {
  if (w.use == WeightUse::kFine) return kF32Codec;
  const Codec* all = format.codec();
  if (all == nullptr) return kept_codec(w, format.stored_codec(w));
  const Codec* less = w.rounding == Rounding::kNever   ? all->unrounded
                      : w.rounding == Rounding::kFiner ? all->finer
                                                       : nullptr;
  return less == nullptr ? *all : *less;
}

Weights empty_weights(const Architecture& arch, const WeightFormat& format) {
  const size_t n = arch.weights.size();
  Weights weights{.format = format,
                  .matrices = std::vector<PackedMatrix>(n),
                  .vectors = std::vector<Vector>(n),
                  .tables = std::vector<LookupTable>(n)};
  for (size_t i = 0; i < n; ++i) {
    const WeightSpec& w = arch.weights[i];
    if (w.is_matrix())
      weights.matrices[i] = {nullptr, &packed_codec(w, format), w.rows, w.cols,
                             format.has_fine_inputs()};
  }
  return weights;
}

uint64_t resident_bytes(const WeightSpec& w, const WeightFormat& format) {
  switch (w.use) {
    case WeightUse::kMatrix:
    case WeightUse::kExpert:
    case WeightUse::kFine:
      return static_cast<uint64_t>(w.n_experts) * packed_codec(w, format).bytes(w.rows, w.cols);
    case WeightUse::kVector:
    case WeightUse::kTaps: return sizeof(float) * static_cast<uint64_t>(w.n_elements());
    case WeightUse::kLookup:
    case WeightUse::kIndex: return 0;
  }
  return 0;
}

uint64_t resident_weight_bytes(const Architecture& arch, const WeightFormat& format) {
  uint64_t bytes = 0;
  for_each_weight(arch, [&](WeightId id) { bytes += resident_bytes(arch.weight(id), format); });
  return bytes;
}

uint64_t expert_bytes(const Architecture& arch, const Mixture& mixture,
                      const WeightFormat& format) {
  uint64_t bytes = 0;
  for (WeightId id : mixture.matrices) {
    bytes += resident_bytes(arch.weight(id), format) / static_cast<uint64_t>(mixture.n_experts);
  }
  return bytes;
}

uint64_t expert_weight_bytes(const Architecture& arch, const WeightFormat& format) {
  uint64_t bytes = 0;
  for (const Mixture& m : mixtures(arch)) {
    bytes += static_cast<uint64_t>(m.n_experts) * expert_bytes(arch, m, format);
  }
  return bytes;
}

Result<ExpertCacheLayout> expert_cache_layout(const Architecture& arch, const WeightFormat& format,
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
