#include "arch/architecture.h"

#include <algorithm>

namespace longhaul {
namespace {

void visit_norm(Is<std::optional<NormSpec>> auto& norm, const auto& visit) {
  if (norm) visit(norm->weight);
}

void visit_residual(Is<PlainResidual> auto& r, const auto& visit) { visit(r.output_scale); }
void visit_residual(Is<ScaledResidual> auto& r, const auto& visit) {
  for (auto* id : {&r.scale, &r.bias, &r.residual_scale, &r.residual_bias}) visit(*id);
}
void visit_residual(Is<HyperResidual> auto& r, const auto& visit) {
  visit(r.fn, {.for_state = true});  // what a block reads is made with it
  visit(r.base);
  visit(r.scale);
}

void visit_embedding(Is<EmbeddingSpec> auto& e, const auto& visit) {
  for (auto* id : {&e.table, &e.bias, &e.scale_vector}) visit(*id);
}

void visit_head(Is<HeadSpec> auto& head, const auto& visit) {
  if (head.collapse) {
    for (auto* id : {&head.collapse->fn, &head.collapse->base, &head.collapse->scale}) visit(*id);
  }
  visit(head.norm.weight);
  visit(head.matrix);
}

void visit_block(Is<Block> auto& block, const auto& visit) {
  visit_norm(block.pre_norm, visit);
  block.mixer.visit(visit);
  visit_norm(block.post_norm, visit);
  std::visit([&](auto& residual) { visit_residual(residual, visit); }, block.residual);
}

// Moves the entries in use to the front, in order, and notes where each went.
void compact(auto& entries, std::vector<int32_t>& place) {
  size_t n = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (place[i] == kNone) continue;
    if (i != n) entries[n] = std::move(entries[i]);
    place[i] = static_cast<int32_t>(n++);
  }
  entries.resize(n);
}

}  // namespace

WeightId Architecture::add_weight(TensorSpec tensor, WeightSpec weight) {
  const auto [found, is_new] =
      tensor_by_name.emplace(tensor.name, static_cast<int32_t>(tensors.size()));
  if (is_new) tensors.push_back(std::move(tensor));
  weight.tensor = found->second;
  weights.push_back(weight);
  return static_cast<WeightId>(weights.size()) - 1;
}

WeightId Architecture::add_matrix(std::string name, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {rows, cols}},
                    {.use = WeightUse::kMatrix, .rows = rows, .cols = cols});
}

WeightId Architecture::add_vector(std::string name, int64_t n, float offset) {
  return add_weight({std::move(name), {n}},
                    {.use = WeightUse::kVector, .cols = n, .offset = offset});
}

WeightId Architecture::rounded(WeightId id, Rounding rounding) {
  weights[static_cast<size_t>(id)].rounding = rounding;
  return id;
}

void Architecture::add_head_matrix(TensorSpec own, bool is_tied) {
  const WeightSpec matrix{.use = WeightUse::kMatrix,
                          .rows = vocab_size,
                          .cols = hidden_size,
                          .rounding = Rounding::kFiner};
  head.own = std::move(own);
  head.matrix = add_weight(is_tied ? tensor_of(embedding.table) : head.own, matrix);
  weights[static_cast<size_t>(embedding.table)].is_alias = is_tied;
}

void Architecture::tie_head() {
  if (is_head_tied()) return;
  weights[static_cast<size_t>(head.matrix)].tensor = weight(embedding.table).tensor;
  weights[static_cast<size_t>(embedding.table)].is_alias = true;
  drop_unused_weights(*this);
}

void Architecture::tie_embedding_to_head() {
  tie_head();
  TensorSpec& tensor = tensors[static_cast<size_t>(weight(embedding.table).tensor)];
  tensor_by_name.erase(tensor.name);
  tensor_by_name.emplace(head.own.name, weight(embedding.table).tensor);
  tensor = head.own;
}

void Architecture::untie_head() {
  const auto [found, is_new] =
      tensor_by_name.emplace(head.own.name, static_cast<int32_t>(tensors.size()));
  if (is_new) tensors.push_back(head.own);
  weights[static_cast<size_t>(head.matrix)].tensor = found->second;
  weights[static_cast<size_t>(embedding.table)].is_alias = false;
}

WeightId Architecture::add_lookup(std::string name, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {rows, cols}},
                    {.use = WeightUse::kLookup, .rows = rows, .cols = cols});
}

WeightId Architecture::add_experts(std::string name, int64_t n_experts, int64_t stacked_rows,
                                   int64_t first_row, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {n_experts, stacked_rows, cols}},
                    {.use = WeightUse::kExpert,
                     .n_experts = n_experts,
                     .expert_stride = stacked_rows,
                     .first_row = first_row,
                     .rows = rows,
                     .cols = cols});
}

WeightId Architecture::add_separate_experts(const std::vector<std::string>& names,
                                            int64_t stacked_rows, int64_t first_row, int64_t rows,
                                            int64_t cols) {
  const size_t n = names.size();
  auto first = tensors.size();
  if (first >= n && tensors[first - n].name == names.front()) {
    first -= n;  // another part of the tensors declared just now
  } else {
    for (const std::string& name : names) tensors.push_back({name, {stacked_rows, cols}});
  }
  weights.push_back({.tensor = static_cast<int32_t>(first),
                     .n_tensors = static_cast<int32_t>(n),
                     .use = WeightUse::kExpert,
                     .n_experts = static_cast<int64_t>(n),
                     .first_row = first_row,
                     .rows = rows,
                     .cols = cols});
  return static_cast<WeightId>(weights.size()) - 1;
}

void for_each_weight(const Block& block,
                     const std::function<void(WeightId, const WeightRole&)>& visit) {
  visit_block(block, WeightWalk<const WeightId>(visit));
}

void for_each_weight(const Architecture& arch, const std::function<void(WeightId)>& visit) {
  // Parts of one tensor may serve several blocks (a shared norm).
  std::vector<bool> seen(arch.weights.size(), false);
  const WeightWalk<const WeightId> once([&](WeightId id, const WeightRole&) {
    if (!seen[static_cast<size_t>(id)]) visit(id);
    seen[static_cast<size_t>(id)] = true;
  });
  visit_embedding(arch.embedding, once);
  for (const Block& block : arch.blocks) visit_block(block, once);
  visit_head(arch.head, once);
}

void drop_unused_weights(Architecture& arch) {
  std::vector<int32_t> new_weight(arch.weights.size(), kNone);
  std::vector<int32_t> new_tensor(arch.tensors.size(), kNone);
  for_each_weight(arch, [&](WeightId id) {
    new_weight[static_cast<size_t>(id)] = 0;
    const WeightSpec& w = arch.weight(id);
    std::fill_n(new_tensor.begin() + w.tensor, w.n_tensors, 0);
  });
  compact(arch.tensors, new_tensor);
  compact(arch.weights, new_weight);
  const auto moved = [&](int32_t& tensor) { tensor = new_tensor[static_cast<size_t>(tensor)]; };
  for (WeightSpec& w : arch.weights) moved(w.tensor);
  std::erase_if(arch.tensor_by_name, [&](const auto& named) {
    return new_tensor[static_cast<size_t>(named.second)] == kNone;
  });
  for (auto& [name, tensor] : arch.tensor_by_name) moved(tensor);
  const WeightWalk<WeightId> renumber(
      [&](WeightId& id, const WeightRole&) { id = new_weight[static_cast<size_t>(id)]; });
  visit_embedding(arch.embedding, renumber);
  visit_head(arch.head, renumber);
  for (Block& block : arch.blocks) visit_block(block, renumber);
}

void drop_unused_states(Architecture& arch) {
  std::vector<StateId> renumbered(arch.states.size(), kNone);
  std::vector<StateSpec> kept;
  const StateWalk<StateId> keep([&](StateId& id, StateUse) {
    StateId& to = renumbered[static_cast<size_t>(id)];
    if (to == kNone) {
      to = static_cast<StateId>(kept.size());
      kept.push_back(arch.state(id));
    }
    id = to;
  });
  for (Block& block : arch.blocks) block.mixer.visit(keep);
  arch.states = std::move(kept);
}

std::vector<Mixture> mixtures(const Architecture& arch) {
  std::vector<Mixture> all;
  for (const Block& block : arch.blocks) {
    WeightId latest = kNone;
    for_each_weight(block, [&](WeightId id, const WeightRole& role) {
      if (role.top_k == 0) return;
      if (role.mixture != latest) all.push_back({arch.weight(id).n_experts, role.top_k});
      latest = role.mixture;
      all.back().matrices.push_back(id);
    });
  }
  return all;
}

void for_each_state(const Block& block, const std::function<void(StateId, StateUse)>& visit) {
  block.mixer.visit(StateWalk<const StateId>(visit));
}

bool writes_state(const Block& block) {
  bool any = false;
  for_each_state(block, [&](StateId, StateUse use) { any = any || writes(use); });
  return any;
}

StateId borrowed_state(const Block& block) {
  StateId read = kNone;
  for_each_state(block, [&](StateId id, StateUse) { read = read == kNone ? id : read; });
  return writes_state(block) ? kNone : read;
}

int64_t last_writing_block(const Architecture& arch) {
  for (int64_t b = static_cast<int64_t>(arch.blocks.size()) - 1; b >= 0; --b) {
    if (writes_state(arch.blocks[static_cast<size_t>(b)])) return b;
  }
  return kNone;
}

}  // namespace longhaul
