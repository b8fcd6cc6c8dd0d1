#include "cost/parameters.h"

#include <map>
#include <tuple>

namespace longhaul {
namespace {

class Collector {
 public:
  explicit Collector(const Architecture& arch) : arch_(arch) {}

  void add(WeightId id, int64_t layer, const MoeSpec* moe) {
    if (id == kNone || arch_.tensor_of(id).is_buffer) return;
    const WeightSpec& w = arch_.weight(id);
    const auto [it, is_new] = index_.try_emplace({w.tensor, w.first_row, w.rows}, pieces_.size());
    if (is_new) pieces_.push_back({.layer = layer, .use = w.use});
    ParameterPiece& piece = pieces_[it->second];
    if (piece.layer != layer || w.use == WeightUse::kLookup) piece.layer = kNone;
    if (!is_new && w.use == WeightUse::kLookup) return;  // a tied table adds nothing to what is multiplied anyway
    piece.use = w.use;
    piece.elements = static_cast<uint64_t>(w.n_elements());
    piece.active = piece.elements;
    if (w.use == WeightUse::kLookup) piece.active = static_cast<uint64_t>(w.cols);
    if (moe == nullptr) return;
    piece.n_experts = moe->n_experts;
    piece.top_k = moe->top_k;
    piece.active = static_cast<uint64_t>(moe->top_k * w.rows * w.cols);
  }

  std::vector<ParameterPiece> take() { return std::move(pieces_); }

 private:
  const Architecture& arch_;
  std::map<std::tuple<int32_t, int64_t, int64_t>, size_t> index_;  // tensor, first row, rows
  std::vector<ParameterPiece> pieces_;
};

const MoeSpec* if_uses(const MoeSpec* moe, WeightId experts) {
  return moe != nullptr && (moe->gate_proj == experts || moe->up_proj == experts || moe->down_proj == experts) ? moe : nullptr;
}

}  // namespace

const MoeSpec* moe_of(const Block& block, WeightId experts) {
  if (const MoeSpec* moe = if_uses(std::get_if<MoeSpec>(&block.mixer), experts)) return moe;
  if (const auto* parallel = std::get_if<ParallelSpec>(&block.mixer)) {
    for (const Branch& branch : parallel->branches) {
      if (const MoeSpec* moe = if_uses(std::get_if<MoeSpec>(&branch.mixer), experts)) return moe;
    }
  }
  return nullptr;
}

std::vector<ParameterPiece> parameter_pieces(const Architecture& arch) {
  Collector collector(arch);
  for (WeightId id : {arch.embedding.table, arch.embedding.bias, arch.embedding.scale_vector}) collector.add(id, kNone, nullptr);
  for (const Block& block : arch.blocks) {
    for_each_weight(block, [&](WeightId id) { collector.add(id, block.layer, moe_of(block, id)); });
  }
  if (arch.head.collapse) {
    for (WeightId id : {arch.head.collapse->fn, arch.head.collapse->base, arch.head.collapse->scale}) collector.add(id, kNone, nullptr);
  }
  collector.add(arch.head.norm.weight, kNone, nullptr);
  collector.add(arch.head.matrix, kNone, nullptr);
  return collector.take();
}

uint64_t total_parameters(const std::vector<ParameterPiece>& pieces) {
  uint64_t n = 0;
  for (const ParameterPiece& p : pieces) n += p.elements;
  return n;
}

uint64_t active_parameters(const std::vector<ParameterPiece>& pieces) {
  uint64_t n = 0;
  for (const ParameterPiece& p : pieces) n += p.use == WeightUse::kLookup ? 0 : p.active;
  return n;
}

}  // namespace longhaul
