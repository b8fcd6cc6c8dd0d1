#include "cost/released.h"

#include "base/checked_math.h"

namespace longhaul {

uint64_t released_bytes(const WeightSpec& w) {
  constexpr int64_t kFp8Block = 128, kF4Group = 32;
  const auto scales = [&](int64_t n) {
    return static_cast<uint64_t>(w.n_experts * n) * bytes_per_element(w.released_scales);
  };
  const auto elements = static_cast<uint64_t>(w.n_elements());
  if (w.released == DType::kF8E4M3)
    return elements + scales(ceil_div(w.rows, kFp8Block) * ceil_div(w.cols, kFp8Block));
  if (w.released == DType::kF4)
    return static_cast<uint64_t>(w.n_experts * w.rows * ceil_div(w.cols, 2)) +
           scales(w.rows * ceil_div(w.cols, kF4Group));
  return elements * bytes_per_element(w.released);
}

ReleasedBytes released_bytes(const Architecture& arch) {
  ReleasedBytes bytes{.layers = std::vector<uint64_t>(static_cast<size_t>(arch.n_layers), 0)};
  std::vector<bool> seen(arch.weights.size(), false);
  const auto count = [&](WeightId id) {
    if (arch.weight(id).is_alias || seen[static_cast<size_t>(id)]) return uint64_t{0};
    seen[static_cast<size_t>(id)] = true;
    return released_bytes(arch.weight(id));
  };
  for (const Block& block : arch.blocks) {
    for_each_weight(block, [&](WeightId id, const WeightRole&) {
      // A table of all layers belongs to none.
      if (arch.weight(id).use != WeightUse::kLookup)
        bytes.layers[static_cast<size_t>(block.layer)] += count(id);
    });
  }
  for (uint64_t layer : bytes.layers) bytes.total += layer;
  for_each_weight(arch, [&](WeightId id) { bytes.total += count(id); });
  return bytes;
}

}  // namespace longhaul
