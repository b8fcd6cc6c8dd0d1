#include "cost/parameters.h"

#include <map>
#include <tuple>

#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

class Collector {
 public:
  Collector(const Architecture& arch, const WeightFormat& format) : arch_(arch), format_(format) {}

  void add(WeightId id, int64_t layer, const WeightRole& role = {}) {
    if (id == kNone || arch_.tensor_of(id).is_buffer) return;
    const WeightSpec& w = arch_.weight(id);
    const auto [it, is_new] = index_.try_emplace({w.tensor, w.first_row, w.rows}, pieces_.size());
    if (is_new) pieces_.push_back({.layer = layer, .use = w.use});
    ParameterPiece& piece = pieces_[it->second];
    if (piece.layer != layer || w.use == WeightUse::kLookup) piece.layer = kNone;
    if (!is_new && w.use == WeightUse::kLookup)
      return;  // a tied table adds nothing to what is multiplied anyway
    piece.use = w.use;
    piece.elements = static_cast<uint64_t>(w.n_elements());
    piece.active = piece.elements;
    piece.resident_bytes = resident_bytes(w, format_);
    piece.rows = w.rows;
    if (w.use == WeightUse::kLookup) piece.active = static_cast<uint64_t>(w.cols);
    if (role.top_k == 0) return;
    piece.n_experts = w.n_experts;
    piece.top_k = role.top_k;
    piece.active = static_cast<uint64_t>(role.top_k * w.rows * w.cols);
  }

  std::vector<ParameterPiece> take() { return std::move(pieces_); }

 private:
  const Architecture& arch_;
  const WeightFormat format_;
  std::map<std::tuple<int32_t, int64_t, int64_t>, size_t> index_;  // tensor, first row, rows
  std::vector<ParameterPiece> pieces_;
};

}  // namespace

std::vector<ParameterPiece> parameter_pieces(const Architecture& arch, const WeightFormat& format) {
  Collector collector(arch, format);
  for (WeightId id : {arch.embedding.table, arch.embedding.bias, arch.embedding.scale_vector})
    collector.add(id, kNone);
  for (const Block& block : arch.blocks) {
    for_each_weight(
        block, [&](WeightId id, const WeightRole& role) { collector.add(id, block.layer, role); });
  }
  if (arch.head.collapse) {
    for (WeightId id :
         {arch.head.collapse->fn, arch.head.collapse->base, arch.head.collapse->scale})
      collector.add(id, kNone);
  }
  collector.add(arch.head.norm.weight, kNone);
  collector.add(arch.head.matrix, kNone);
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
