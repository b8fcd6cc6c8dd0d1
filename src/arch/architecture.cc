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

using Visit = std::function<void(WeightId)>;

void visit_norm(const std::optional<NormSpec>& norm, const Visit& visit) {
  if (norm && norm->weight != kNone) visit(norm->weight);
}

void visit_all(std::initializer_list<WeightId> ids, const Visit& visit) {
  for (WeightId id : ids) {
    if (id != kNone) visit(id);
  }
}

void visit_mixer(const GatedMlpSpec& s, const Visit& visit) { visit_all({s.gate_proj, s.up_proj, s.down_proj}, visit); }

void visit_mixer(const MoeSpec& s, const Visit& visit) {
  visit_norm(s.router.norm, visit);
  visit_all({s.router.scale, s.router.proj, s.router.per_expert_scale}, visit);
  visit_norm(s.expert_norm, visit);
  visit_all({s.gate_up_proj, s.down_proj}, visit);
}

void visit_mixer(const AttentionSpec& s, const Visit& visit) {
  visit_all({s.q_proj, s.k_proj, s.v_proj, s.o_proj}, visit);
  for (const auto& norm : {s.q_norm, s.k_norm, s.v_norm}) visit_norm(norm, visit);
}

void visit_mixer(const PerLayerEmbeddingSpec& s, const Visit& visit) {
  visit_all({s.table, s.context_proj, s.context_norm.weight, s.gate_proj, s.out_proj}, visit);
}

void visit_mixer(const ParallelSpec& s, const Visit& visit) {
  for (const Branch& branch : s.branches) {
    visit_norm(branch.pre_norm, visit);
    std::visit([&](const auto& mixer) { visit_mixer(mixer, visit); }, branch.mixer);
    visit_norm(branch.post_norm, visit);
  }
}

}  // namespace

WeightId Architecture::add_weight(TensorSpec tensor, WeightSpec weight) {
  auto it = std::find_if(tensors.begin(), tensors.end(), [&](const TensorSpec& t) { return t.name == tensor.name; });
  if (it == tensors.end()) it = tensors.insert(tensors.end(), std::move(tensor));
  weight.tensor = static_cast<int32_t>(it - tensors.begin());
  weights.push_back(weight);
  return static_cast<WeightId>(weights.size()) - 1;
}

WeightId Architecture::add_matrix(std::string name, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {rows, cols}}, {.use = WeightUse::kMatrix, .rows = rows, .cols = cols});
}

WeightId Architecture::add_vector(std::string name, int64_t n, float offset) {
  return add_weight({std::move(name), {n}}, {.use = WeightUse::kVector, .cols = n, .offset = offset});
}

WeightId Architecture::add_lookup(std::string name, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {rows, cols}}, {.use = WeightUse::kLookup, .rows = rows, .cols = cols});
}

WeightId Architecture::add_experts(std::string name, int64_t n_experts, int64_t rows, int64_t cols) {
  return add_weight({std::move(name), {n_experts, rows, cols}},
                    {.use = WeightUse::kExpert, .n_experts = n_experts, .rows = rows, .cols = cols});
}

void for_each_weight(const Block& block, const Visit& visit) {
  visit_norm(block.pre_norm, visit);
  std::visit([&](const auto& mixer) { visit_mixer(mixer, visit); }, block.mixer);
  visit_norm(block.post_norm, visit);
  visit_all({block.residual.output_scale}, visit);
}

void for_each_weight(const Architecture& arch, const Visit& visit) {
  // Parts of one tensor may serve several blocks (a shared norm): report each weight id once.
  std::vector<bool> seen(arch.weights.size(), false);
  const Visit once = [&](WeightId id) {
    if (!seen[static_cast<size_t>(id)]) visit(id);
    seen[static_cast<size_t>(id)] = true;
  };
  once(arch.embedding.table);
  for (const Block& block : arch.blocks) for_each_weight(block, once);
  visit_norm(arch.head.norm, once);
  once(arch.head.matrix);
}

const char* mixer_name(const Mixer& mixer) {
  return std::visit(Overloaded{[](const AttentionSpec&) { return "attention"; }, [](const GatedMlpSpec&) { return "mlp"; },
                               [](const MoeSpec&) { return "moe"; }, [](const ParallelSpec&) { return "mlp+moe"; },
                               [](const PerLayerEmbeddingSpec&) { return "per-layer embedding"; }},
                    mixer);
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
