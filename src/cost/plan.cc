#include "cost/plan.h"

#include <algorithm>
#include <cmath>

#include "cost/describe.h"
#include "cost/flops.h"
#include "cost/parameters.h"
#include "cost/what_if.h"
#include "mechanisms/compressed_attention.h"
#include "mechanisms/moe.h"
#include "mechanisms/resident_weights.h"
#include "mechanisms/step_layout.h"

namespace longhaul {
namespace {

Status check_range(const char* what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return invalid("{} must be {} to {}, given {}", what, low, high, value);
}

bool is_computable(DType d) { return d == DType::kF32 || d == DType::kBF16; }

Status check_request(const PlanRequest& r) {
  LH_RETURN_IF_ERROR(check_range("the context", r.context, 1, kMaxPlannedContext));
  LH_RETURN_IF_ERROR(check_range("the batch", r.batch, 1, 1 << 16));
  LH_RETURN_IF_ERROR(check_range("the chunk", r.chunk, 1, 1 << 20));
  LH_RETURN_IF_ERROR(check_range("the rows of logits", r.logit_rows, 1, 1 << 20));
  LH_RETURN_IF_ERROR(check_range("the number of threads", r.n_threads, 1, 1 << 12));
  if (!is_computable(r.weights)) return unsupported("weights can be kept as f32 or bf16, not {}", to_string(r.weights));
  if (!is_computable(r.kv)) return unsupported("the cache can be kept as f32 or bf16, not {}", to_string(r.kv));
  return {};
}

Result<uint64_t> narrow(Wide n, const char* what) {
  if (n > UINT64_MAX) return invalid("{} exceed 2^64 at this context: ask for a smaller one", what);
  return static_cast<uint64_t>(n);
}

Wide state_bytes_of(const Architecture& arch, const PlanRequest& r, int64_t context) {
  Wide bytes = 0;
  for (const StateSpec& s : arch.states) bytes += kv_bytes(s, context, r.kv);
  return bytes * static_cast<Wide>(r.batch);
}

// Of compressed rows a token's share.
uint64_t bytes_per_token(const StateSpec& s, DType kv) { return kv_layout(s, kv).bytes_per_slot() / static_cast<uint64_t>(s.ratio); }
uint64_t growth_per_token(const StateSpec& s, DType kv) { return !s.is_paged() ? 0 : bytes_per_token(s, kv); }

uint64_t mapped_bytes(const Architecture& arch, DType dtype) {
  std::vector<bool> seen(arch.tensors.size(), false);
  uint64_t bytes = 0;
  for_each_weight(arch, [&](WeightId id) {
    const WeightSpec& w = arch.weight(id);
    const auto tensor = static_cast<size_t>(w.tensor);
    if ((w.use != WeightUse::kLookup && w.use != WeightUse::kIndex) || seen[tensor]) return;
    seen[tensor] = true;
    bytes += static_cast<uint64_t>(arch.tensors[tensor].n_elements()) * bytes_per_element(w.use == WeightUse::kIndex ? DType::kI64 : dtype);
  });
  return bytes;
}

// Weights that one step of a batch reads, each at the width of the matrices: all that is multiplied once, of experts those that are expected to
// be hit, of tables one row a sequence.
double weight_read_bytes(const std::vector<ParameterPiece>& pieces, const PlanRequest& r) {
  double elements = 0;
  for (const ParameterPiece& p : pieces) {
    if (p.use == WeightUse::kLookup) {
      elements += static_cast<double>(p.active) * static_cast<double>(r.batch);
    } else if (p.use == WeightUse::kExpert) {
      const double hit = expected_experts({.n_experts = p.n_experts, .top_k = p.top_k}, r.batch);
      elements += hit * (static_cast<double>(p.elements) / static_cast<double>(p.n_experts));
    } else {
      elements += static_cast<double>(p.elements);
    }
  }
  return elements * static_cast<double>(bytes_per_element(r.weights));
}

uint64_t kv_read_bytes(const Architecture& arch, const Block& block, const PlanRequest& r) {
  const auto* s = as_attention(block);
  if (s == nullptr) return 0;
  const int64_t last = r.context - 1;
  const auto read = [&](StateId state, int64_t rows) {
    return kv_layout(arch.state(state), r.kv).bytes_per_slot() * static_cast<uint64_t>(rows);
  };
  const auto* compressed = std::get_if<CompressedAttentionSpec>(&block.mixer);
  if (compressed == nullptr) return read(s->state, visible_keys(*s, last));
  // Rows of the window and entries are of one size.
  const uint64_t rows = read(s->state, attended_rows(*compressed, last));
  return compressed->indexer ? rows + read(compressed->indexer->keys.entries, visible_entries(compressed->indexer->keys, last)) : rows;
}

uint64_t kv_write_bytes(const Architecture& arch, DType kv) {
  uint64_t bytes = 0;
  for (const StateSpec& s : arch.states) bytes += bytes_per_token(s, kv);
  return bytes;
}

// Total bytes are monotone in the context, so the largest that fits is found by halving.
int64_t largest_context(const Architecture& arch, const PlanRequest& r, uint64_t fixed_bytes) {
  int64_t fits = 0, too_large = kMaxPlannedContext + 1;
  while (too_large - fits > 1) {
    const int64_t middle = fits + (too_large - fits) / 2;
    (state_bytes_of(arch, r, middle) + fixed_bytes <= *r.memory ? fits : too_large) = middle;
  }
  return fits;
}

void add_block(const Architecture& arch, const Block& block, const PlanRequest& r, LayerPlan& layer) {
  layer.mixers.push_back(describe(block.mixer));
  layer.decode_flops += linear_flops_per_row(arch, block) + attention_flops_at(block, r.context);
  layer.kv_read_bytes += kv_read_bytes(arch, block, r);
  const auto* attention = as_attention(block);
  if (attention == nullptr) return;
  if (!attention->writes_state()) layer.state_source = arch.state(attention->state).layer;
}

std::vector<LayerPlan> plan_layers(const Architecture& arch, const PlanRequest& r, const std::vector<ParameterPiece>& pieces) {
  std::vector<LayerPlan> layers;
  std::vector<int64_t> only_layer(arch.weights.size(), kNone);  // that uses a weight; -2: several
  constexpr int64_t kSeveral = -2;
  for (const Block& block : arch.blocks) {
    if (layers.empty() || layers.back().layer != block.layer) layers.push_back({.layer = block.layer});
    add_block(arch, block, r, layers.back());
    for_each_weight(block, [&](WeightId id) {
      int64_t& only = only_layer[static_cast<size_t>(id)];
      only = only == kNone || only == block.layer ? block.layer : kSeveral;
    });
  }
  for (LayerPlan& layer : layers) {
    for (const StateSpec& state : arch.states) {
      if (state.layer != layer.layer) continue;
      layer.state_bytes += kv_bytes(state, r.context, r.kv) * static_cast<uint64_t>(r.batch);
      layer.state_bytes_per_token += growth_per_token(state, r.kv);
    }
    for (size_t id = 0; id < only_layer.size(); ++id) {
      if (only_layer[id] == layer.layer) layer.weight_bytes += resident_bytes(arch.weights[id], r.weights);
    }
    for (const ParameterPiece& p : pieces) layer.params += p.layer == layer.layer ? p.elements : 0;
  }
  return layers;
}

Result<Plan> price(const Architecture& arch, const PlanRequest& r) {
  const std::vector<ParameterPiece> pieces = parameter_pieces(arch);
  Plan p{.name = arch.name,
         .context = r.context,
         .batch = r.batch,
         .max_positions = arch.max_positions,
         .weights = r.weights,
         .kv = r.kv,
         .what_if = r.what_if,
         .params_total = total_parameters(pieces),
         .params_active = active_parameters(pieces)};
  p.weight_bytes = resident_weight_bytes(arch, r.weights);
  p.weight_bytes_mapped = mapped_bytes(arch, r.checkpoint.value_or(r.weights));
  p.scratch_bytes = scratch_bytes(arch, step_limits(r));
  LH_TRY(p.state_bytes, narrow(state_bytes_of(arch, r, r.context), "state bytes"));
  for (const StateSpec& s : arch.states) p.state_bytes_per_token += growth_per_token(s, r.kv);
  LH_TRY(p.total_bytes, narrow(Wide{p.weight_bytes} + p.state_bytes + p.scratch_bytes, "bytes"));
  LH_TRY(p.decode_attention_flops, narrow(attention_flops_at(arch, r.context), "FLOPs of attention"));
  Wide decode_flops = Wide{head_flops_per_row(arch)} + collapse_flops_per_row(arch) + p.decode_attention_flops;
  for (const Block& block : arch.blocks) decode_flops += linear_flops_per_row(arch, block);
  LH_TRY(p.decode_flops_per_token, narrow(decode_flops, "FLOPs of a token"));
  LH_TRY(p.prefill_flops, narrow(prefill_flops(arch, r.context), "FLOPs of the prompt"));
  LH_TRY(p.prefill_flops_skip, narrow(prefill_flops_needed_rows(arch, r.context), "FLOPs of the prompt"));
  Wide cache_traffic = kv_write_bytes(arch, r.kv);
  for (const Block& block : arch.blocks) cache_traffic += kv_read_bytes(arch, block, r);
  LH_TRY(p.decode_read_weight_bytes, narrow(static_cast<Wide>(std::round(weight_read_bytes(pieces, r))), "bytes read"));
  LH_TRY(p.decode_read_bytes, narrow(Wide{p.decode_read_weight_bytes} + cache_traffic * static_cast<Wide>(r.batch), "bytes read"));
  if (r.memory) p.max_context = largest_context(arch, r, p.weight_bytes + p.scratch_bytes);
  p.layers = plan_layers(arch, r, pieces);
  return p;
}

}  // namespace

StepLimits step_limits(const PlanRequest& r) {
  // Decoding takes a row of every sequence in one step.
  return {.max_rows = std::max(r.chunk, r.batch),
          .max_sequences = r.batch,
          .max_logit_rows = r.logit_rows,
          .n_threads = r.n_threads,
          .weights = r.weights,
          .kv = r.kv};
}

Result<Plan> make_plan(const Architecture& arch, const PlanRequest& request) {
  LH_RETURN_IF_ERROR(check_request(request));
  if (request.what_if.empty()) return price(arch, request);
  LH_TRY(const Architecture edited, apply_what_ifs(arch, request.what_if));
  return price(edited, request);
}

}  // namespace longhaul
