#include "arch/architecture.h"

#include <algorithm>

namespace longhaul {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// The walks below hand out references, so that one walk serves readers and those who renumber weights.
using Visit = std::function<void(WeightId&)>;

void visit_all(std::initializer_list<WeightId*> ids, const Visit& visit) {
  for (WeightId* id : ids) {
    if (*id != kNone) visit(*id);
  }
}

void visit_norm(std::optional<NormSpec>& norm, const Visit& visit) {
  if (norm) visit_all({&norm->weight}, visit);
}

void visit_mixer(GatedMlpSpec& s, const Visit& visit) { visit_all({&s.gate_proj, &s.up_proj, &s.down_proj}, visit); }

void visit_router(LinearRouterSpec& r, const Visit& visit) {
  visit_norm(r.norm, visit);
  visit_all({&r.scale, &r.proj, &r.selection_bias, &r.token_experts, &r.per_expert_scale}, visit);
}

void visit_router(MlpRouterSpec& r, const Visit& visit) {
  visit_all({&r.down_proj, &r.down_bias, &r.states_scale, &r.norm.weight, &r.fc1, &r.fc1_bias, &r.fc2, &r.fc2_bias, &r.out_proj,
             &r.selection_bias},
            visit);
}

void visit_residual(PlainResidual& r, const Visit& visit) { visit_all({&r.output_scale}, visit); }
void visit_residual(ScaledResidual& r, const Visit& visit) { visit_all({&r.scale, &r.bias, &r.residual_scale, &r.residual_bias}, visit); }
void visit_residual(HyperResidual& r, const Visit& visit) { visit_all({&r.fn, &r.base, &r.scale}, visit); }

void visit_mixer(MoeSpec& s, const Visit& visit) {
  std::visit([&](auto& router) { visit_router(router, visit); }, s.router);
  visit_norm(s.expert_norm, visit);
  visit_all({&s.gate_proj, &s.up_proj, &s.down_proj}, visit);
}

void visit_mixer(AttentionSpec& s, const Visit& visit) {
  visit_all({&s.q_proj, &s.k_proj, &s.v_proj, &s.o_proj}, visit);
  if (s.gate) visit_all({&s.gate->proj}, visit);
  for (auto* norm : {&s.q_norm, &s.k_norm, &s.v_norm}) visit_norm(*norm, visit);
}

void visit_mixer(CcaSpec& s, const Visit& visit) {
  visit_mixer(s.attention, visit);
  visit_all({&s.v_proj_delayed, &s.conv_depthwise, &s.conv_depthwise_bias, &s.conv_grouped, &s.conv_grouped_bias, &s.temperature}, visit);
}

void visit_compressor(CompressorSpec& s, const Visit& visit) {
  visit_all({&s.kv_proj, &s.gate_proj, &s.position_bias, &s.norm.weight}, visit);
}

void visit_mixer(CompressedAttentionSpec& s, const Visit& visit) {
  visit_all({&s.q_a_proj, &s.q_a_norm.weight, &s.sinks, &s.o_a_proj}, visit);
  visit_mixer(s.attention, visit);
  if (s.compressor) visit_compressor(*s.compressor, visit);
  if (!s.indexer) return;
  visit_all({&s.indexer->q_proj, &s.indexer->weights_proj}, visit);
  visit_compressor(s.indexer->keys, visit);
}

void visit_mixer(LatentAttentionSpec& s, const Visit& visit) {
  visit_mixer(s.attention, visit);
  visit_all({&s.q_a_proj, &s.q_a_norm.weight, &s.kv_b_proj, &s.indexer.q_proj, &s.indexer.weights_proj, &s.key_norm_bias}, visit);
  visit_compressor(s.indexer.keys, visit);
}

void visit_mixer(PerLayerEmbeddingSpec& s, const Visit& visit) {
  visit_all({&s.table, &s.context_proj, &s.context_norm.weight, &s.gate_proj, &s.out_proj}, visit);
}

void visit_mixer(ParallelSpec& s, const Visit& visit) {
  for (Branch& branch : s.branches) {
    visit_norm(branch.pre_norm, visit);
    std::visit([&](auto& mixer) { visit_mixer(mixer, visit); }, branch.mixer);
    visit_norm(branch.post_norm, visit);
  }
}

void visit_head(HeadSpec& head, const Visit& visit) {
  if (head.collapse) visit_all({&head.collapse->fn, &head.collapse->base, &head.collapse->scale}, visit);
  visit_all({&head.norm.weight, &head.matrix}, visit);
}

void visit_block(Block& block, const Visit& visit) {
  visit_norm(block.pre_norm, visit);
  std::visit([&](auto& mixer) { visit_mixer(mixer, visit); }, block.mixer);
  visit_norm(block.post_norm, visit);
  std::visit([&](auto& residual) { visit_residual(residual, visit); }, block.residual);
}

}  // namespace

WeightId Architecture::add_weight(TensorSpec tensor, WeightSpec weight) {
  const auto [found, is_new] = tensor_by_name.emplace(tensor.name, static_cast<int32_t>(tensors.size()));
  if (is_new) tensors.push_back(std::move(tensor));
  weight.tensor = found->second;
  weights.push_back(weight);
  return static_cast<WeightId>(weights.size()) - 1;
}

WeightId Architecture::add_matrix(std::string name, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {rows, cols}}, {.use = WeightUse::kMatrix, .rows = rows, .cols = cols});
}

WeightId Architecture::add_vector(std::string name, int64_t n, float offset) {
  return add_weight({std::move(name), {n}}, {.use = WeightUse::kVector, .cols = n, .offset = offset});
}

WeightId Architecture::rounded(WeightId id, Rounding rounding) {
  weights[static_cast<size_t>(id)].rounding = rounding;
  return id;
}

void Architecture::add_head_matrix(TensorSpec own, bool is_tied) {
  const WeightSpec matrix{.use = WeightUse::kMatrix, .rows = vocab_size, .cols = hidden_size, .rounding = Rounding::kFiner};
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
  const auto [found, is_new] = tensor_by_name.emplace(head.own.name, static_cast<int32_t>(tensors.size()));
  if (is_new) tensors.push_back(head.own);
  weights[static_cast<size_t>(head.matrix)].tensor = found->second;
  weights[static_cast<size_t>(embedding.table)].is_alias = false;
}

WeightId Architecture::add_lookup(std::string name, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {rows, cols}}, {.use = WeightUse::kLookup, .rows = rows, .cols = cols});
}

WeightId Architecture::add_experts(std::string name, int64_t n_experts, int64_t stacked_rows, int64_t first_row, int64_t rows,
                                   int64_t cols) {
  return add_weight({std::move(name), {n_experts, stacked_rows, cols}}, {.use = WeightUse::kExpert,
                                                                         .n_experts = n_experts,
                                                                         .expert_stride = stacked_rows,
                                                                         .first_row = first_row,
                                                                         .rows = rows,
                                                                         .cols = cols});
}

WeightId Architecture::add_separate_experts(const std::vector<std::string>& names, int64_t stacked_rows, int64_t first_row, int64_t rows,
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

void for_each_weight(const Block& block, const std::function<void(WeightId)>& visit) {
  Block copy = block;
  visit_block(copy, visit);
}

void for_each_moe(const Architecture& arch, const std::function<void(const MoeSpec&)>& visit) {
  for (const Block& block : arch.blocks) {
    if (const auto* moe = std::get_if<MoeSpec>(&block.mixer)) visit(*moe);
    const auto* parallel = std::get_if<ParallelSpec>(&block.mixer);
    if (parallel == nullptr) continue;
    for (const Branch& branch : parallel->branches) {
      if (const auto* moe = std::get_if<MoeSpec>(&branch.mixer)) visit(*moe);
    }
  }
}

void for_each_weight(const Architecture& arch, const std::function<void(WeightId)>& visit) {
  // Parts of one tensor may serve several blocks (a shared norm): report each weight id once.
  std::vector<bool> seen(arch.weights.size(), false);
  const auto once = [&](WeightId id) {
    if (id == kNone) return;
    if (!seen[static_cast<size_t>(id)]) visit(id);
    seen[static_cast<size_t>(id)] = true;
  };
  for (WeightId id : {arch.embedding.table, arch.embedding.bias, arch.embedding.scale_vector}) once(id);
  for (const Block& block : arch.blocks) for_each_weight(block, once);
  HeadSpec head = arch.head;
  visit_head(head, once);
}

void drop_unused_weights(Architecture& arch) {
  std::vector<int32_t> new_weight(arch.weights.size(), kNone), new_tensor(arch.tensors.size(), kNone);
  for_each_weight(arch, [&](WeightId id) {
    new_weight[static_cast<size_t>(id)] = 0;
    const WeightSpec& w = arch.weight(id);
    std::fill_n(new_tensor.begin() + w.tensor, w.n_tensors, 0);
  });
  // Moves the entries in use to the front, in order, and notes where each went.
  const auto compact = [](auto& entries, std::vector<int32_t>& place) {
    size_t n = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (place[i] == kNone) continue;
      if (i != n) entries[n] = std::move(entries[i]);
      place[i] = static_cast<int32_t>(n++);
    }
    entries.resize(n);
  };
  compact(arch.tensors, new_tensor);
  compact(arch.weights, new_weight);
  for (WeightSpec& w : arch.weights) w.tensor = new_tensor[static_cast<size_t>(w.tensor)];
  std::erase_if(arch.tensor_by_name, [&](const auto& named) { return new_tensor[static_cast<size_t>(named.second)] == kNone; });
  for (auto& [name, tensor] : arch.tensor_by_name) tensor = new_tensor[static_cast<size_t>(tensor)];
  const Visit renumber = [&](WeightId& id) { id = new_weight[static_cast<size_t>(id)]; };
  visit_all({&arch.embedding.table, &arch.embedding.bias, &arch.embedding.scale_vector}, renumber);
  visit_head(arch.head, renumber);
  for (Block& block : arch.blocks) visit_block(block, renumber);
}

const char* mixer_name(const Mixer& mixer) {
  return std::visit(Overloaded{[](const AttentionSpec&) { return "attention"; }, [](const CcaSpec&) { return "convolutional attention"; },
                               [](const CompressedAttentionSpec&) { return "compressed attention"; },
                               [](const LatentAttentionSpec&) { return "latent attention"; }, [](const GatedMlpSpec&) { return "mlp"; },
                               [](const MoeSpec&) { return "moe"; }, [](const ParallelSpec&) { return "mlp+moe"; },
                               [](const PerLayerEmbeddingSpec&) { return "per-layer embedding"; }},
                    mixer);
}

const AttentionSpec* as_attention(const Block& block) {
  if (const auto* cca = std::get_if<CcaSpec>(&block.mixer)) return &cca->attention;
  if (const auto* compressed = std::get_if<CompressedAttentionSpec>(&block.mixer)) return &compressed->attention;
  if (const auto* latent = std::get_if<LatentAttentionSpec>(&block.mixer)) return &latent->attention;
  return std::get_if<AttentionSpec>(&block.mixer);
}

const IndexerSpec* indexer_of(const Block& block) {
  if (const auto* latent = std::get_if<LatentAttentionSpec>(&block.mixer)) return &latent->indexer;
  const auto* compressed = std::get_if<CompressedAttentionSpec>(&block.mixer);
  return compressed != nullptr && compressed->indexer ? &*compressed->indexer : nullptr;
}

int64_t last_writing_block(const Architecture& arch) {
  for (int64_t b = static_cast<int64_t>(arch.blocks.size()) - 1; b >= 0; --b) {
    const auto* attention = as_attention(arch.blocks[static_cast<size_t>(b)]);
    if (attention != nullptr && attention->writes_state()) return b;
  }
  return kNone;
}

std::vector<int64_t> last_readers(const Architecture& arch) {
  std::vector<int64_t> readers(arch.states.size(), kNone);
  for (size_t b = 0; b < arch.blocks.size(); ++b) {
    if (const auto* attention = as_attention(arch.blocks[b])) readers[static_cast<size_t>(attention->state)] = static_cast<int64_t>(b);
  }
  return readers;
}

InFlightPlan plan_in_flight(const Architecture& arch) {
  const std::vector<int64_t> readers = last_readers(arch);
  InFlightPlan plan{std::vector<int32_t>(arch.states.size(), kNone), 0};
  std::vector<int64_t> busy_until;  // by buffer: the last block that reads what it holds
  for (size_t b = 0; b < arch.blocks.size(); ++b) {
    const auto* attention = as_attention(arch.blocks[b]);
    if (attention == nullptr || !attention->writes_state() || !arch.state(attention->state).is_ring()) continue;
    const auto state = static_cast<size_t>(attention->state);
    auto free = std::find_if(busy_until.begin(), busy_until.end(), [&](int64_t until) { return until < static_cast<int64_t>(b); });
    if (free == busy_until.end()) free = busy_until.insert(busy_until.end(), 0);
    *free = readers[state];
    plan.buffer[state] = static_cast<int32_t>(free - busy_until.begin());
  }
  plan.n_buffers = static_cast<int32_t>(busy_until.size());
  return plan;
}

}  // namespace longhaul
