#include "cost/plan.h"

#include <algorithm>
#include <cmath>

#include "cost/flops.h"
#include "cost/parameters.h"
#include "mechanisms/kv_cache.h"
#include "mechanisms/moe.h"
#include "mechanisms/resident_weights.h"
#include "mechanisms/step_layout.h"
#include "mechanisms/what_if.h"

namespace longhaul {
namespace {

Status check_range(const char* what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return invalid("{} must be from {} to {}, given {}", what, low, high, value);
}

// The command line's spelling: "bf16".
std::string state_name(const StateFormat& format) {
  if (format.cache == CacheFormat::kReleased) return "released";
  return format.dtype == DType::kF32 ? "f32" : format.dtype == DType::kI8 ? "q8" : "bf16";
}

bool is_computable(DType d) { return d == DType::kF32 || d == DType::kBF16; }

Status check_request(const PlanRequest& r) {
  LH_RETURN_IF_ERROR(check_range("the context", r.context, 1, kMaxPlannedContext));
  LH_RETURN_IF_ERROR(check_range("the batch", r.batch, 1, 1 << 16));
  LH_RETURN_IF_ERROR(check_range("the chunk", r.chunk, 1, 1 << 20));
  LH_RETURN_IF_ERROR(check_range("the rows of logits", r.logit_rows, 1, 1 << 20));
  LH_RETURN_IF_ERROR(check_range("the number of threads", r.n_threads, 1, 1 << 12));
  if (!is_computable(r.kv.dtype) && r.kv.dtype != DType::kI8)
    return unsupported("the cache can be kept as f32, bf16 or q8, not {}; choose one of them",
                       to_string(r.kv.dtype));
  return {};
}

Result<uint64_t> narrow(Wide n, const char* what) {
  if (n > UINT64_MAX) return invalid("{} exceed 2^64 at this context; ask for a smaller one", what);
  return static_cast<uint64_t>(n);
}

uint64_t state_bytes_of(const StateSpec& s, const PlanRequest& r, int64_t context) {
  return kv_bytes(s, context, r.kv);
}

Wide state_bytes_of(const Architecture& arch, const PlanRequest& r, int64_t context) {
  Wide bytes = 0;
  for (const StateSpec& s : arch.states) bytes += state_bytes_of(s, r, context);
  return bytes * static_cast<Wide>(r.batch);
}

Wide growing_bytes_of(const Architecture& arch, const PlanRequest& r) {
  Wide bytes = 0;
  for (const StateSpec& s : arch.states)
    bytes += s.is_paged() ? state_bytes_of(s, r, r.context) : 0;
  return bytes * static_cast<Wide>(r.batch);
}

uint64_t row_bytes(const StateSpec& s, const PlanRequest& r) {
  return kv_layout(s, r.kv).bytes_per_slot();
}
// Of compressed rows a token's share.
double bytes_per_token(const StateSpec& s, const PlanRequest& r) {
  return s.is_fixed() ? 0 : static_cast<double>(row_bytes(s, r)) / static_cast<double>(s.ratio);
}
double growth_per_token(const StateSpec& s, const PlanRequest& r) {
  return s.is_paged() ? bytes_per_token(s, r) : 0;
}

// Tables stay in their file as they are, whatever becomes of the matrices.
uint64_t mapped_bytes(const Architecture& arch, const WeightFormat& format) {
  std::vector<bool> seen(arch.tensors.size(), false);
  uint64_t bytes = 0;
  for_each_weight(arch, [&](WeightId id) {
    const WeightSpec& w = arch.weight(id);
    const auto tensor = static_cast<size_t>(w.tensor);
    if (!w.is_table() || seen[tensor]) return;
    seen[tensor] = true;
    bytes += format.stored_table_bytes(w, arch.tensors[tensor].n_elements());
  });
  return bytes;
}

// Weights that one step of a batch reads: all that is multiplied once, of experts those that are
// expected to be hit, of tables one row a sequence. In plain formats every element at the width of
// the matrices; else what each is packed in.
double weight_read_bytes(const std::vector<ParameterPiece>& pieces, const PlanRequest& r) {
  const auto width = static_cast<double>(bytes_per_element(r.weights.compute_dtype()));
  double sum = 0;
  for (const ParameterPiece& p : pieces) {
    const double all = r.weights.is_plain() || p.use == WeightUse::kLookup
                           ? width * static_cast<double>(p.elements)
                           : static_cast<double>(p.resident_bytes);
    if (p.use == WeightUse::kLookup) {
      sum += all / static_cast<double>(p.rows) * static_cast<double>(r.batch);
    } else if (p.use == WeightUse::kExpert) {
      sum += expected_experts(p.n_experts, p.top_k, r.batch) *
             (all / static_cast<double>(p.n_experts));
    } else {
      sum += all;
    }
  }
  return sum;
}

// Rows that a step looks at; of a fixed block, all of it.
uint64_t kv_read_bytes(const Architecture& arch, const ContextWork& work, const PlanRequest& r) {
  uint64_t bytes = 0;
  for (const auto& [id, rows] : work.reads) {
    const StateSpec& s = arch.state(id);
    bytes += s.is_fixed() ? state_bytes_of(s, r, r.context)
                          : row_bytes(s, r) * static_cast<uint64_t>(rows);
  }
  return bytes;
}

double kv_write_bytes(const Architecture& arch, const PlanRequest& r) {
  double bytes = 0;
  for (const StateSpec& s : arch.states) bytes += bytes_per_token(s, r);
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

void add_block(const Architecture& arch, const Block& block, const PlanRequest& r,
               LayerPlan& layer) {
  const ContextWork work = block.mixer.context_work(r.context);
  layer.mixers.push_back(block.mixer.words(arch).summary);
  layer.decode_flops += linear_flops_per_row(arch, block) + work.flops();
  layer.kv_read_bytes += kv_read_bytes(arch, work, r);
  if (const StateId state = borrowed_state(block); state != kNone)
    layer.state_source = arch.state(state).layer;
}

std::vector<LayerPlan> plan_layers(const Architecture& arch, const PlanRequest& r,
                                   const std::vector<ParameterPiece>& pieces) {
  std::vector<LayerPlan> layers;
  std::vector<int64_t> only_layer(arch.weights.size(), kNone);  // that uses a weight; -2: several
  constexpr int64_t kSeveral = -2;
  for (const Block& block : arch.blocks) {
    if (layers.empty() || layers.back().layer != block.layer)
      layers.push_back({.layer = block.layer});
    add_block(arch, block, r, layers.back());
    for_each_weight(block, [&](WeightId id, const WeightRole&) {
      int64_t& only = only_layer[static_cast<size_t>(id)];
      only = only == kNone || only == block.layer ? block.layer : kSeveral;
    });
  }
  for (LayerPlan& layer : layers) {
    for (const StateSpec& state : arch.states) {
      if (state.layer != layer.layer) continue;
      layer.state_bytes += state_bytes_of(state, r, r.context) * static_cast<uint64_t>(r.batch);
      layer.state_bytes_per_token += growth_per_token(state, r);
    }
    for (size_t id = 0; id < only_layer.size(); ++id) {
      const bool stays = r.expert_cache > 0 && arch.weights[id].use == WeightUse::kExpert;
      if (only_layer[id] == layer.layer && !stays)
        layer.weight_bytes += resident_bytes(arch.weights[id], r.weights);
    }
    for (const ParameterPiece& p : pieces) layer.params += p.layer == layer.layer ? p.elements : 0;
  }
  return layers;
}

Status price_traffic(const Architecture& arch, const PlanRequest& r,
                     const std::vector<ParameterPiece>& pieces, Plan& p) {
  Wide cache = 0;
  for (const Block& block : arch.blocks)
    cache += kv_read_bytes(arch, block.mixer.context_work(r.context), r);
  LH_TRY(p.decode_read_cache_bytes, narrow(cache * static_cast<Wide>(r.batch), "bytes read"));
  const double weights = weight_read_bytes(pieces, r),
               written = kv_write_bytes(arch, r) * static_cast<double>(r.batch);
  LH_TRY(p.decode_read_weight_bytes, narrow(static_cast<Wide>(std::round(weights)), "bytes read"));
  LH_TRY(p.decode_read_bytes,
         narrow(static_cast<Wide>(std::round(weights + written)) + p.decode_read_cache_bytes,
                "bytes read"));
  return {};
}

// Experts: all resident, or behind a cache of some of them.
Status price_experts(const Architecture& arch, const PlanRequest& r, Plan& p) {
  double cold = 0;
  for (const Mixture& m : mixtures(arch)) {
    p.n_experts += m.n_experts;
    cold += expected_experts(m.n_experts, m.top_k, r.batch) *
            static_cast<double>(expert_bytes(arch, m, r.weights));
  }
  p.expert_bytes = expert_weight_bytes(arch, r.weights);
  p.weight_bytes = resident_weight_bytes(arch, r.weights);
  if (r.expert_cache == 0) return {};
  LH_TRY(p.expert_cache, expert_cache_layout(arch, r.weights, r.n_threads, r.expert_cache));
  p.weight_bytes = p.weight_bytes - p.expert_bytes + p.expert_cache->bytes();
  const double held =
      static_cast<double>(p.expert_cache->n_slots) / static_cast<double>(p.n_experts);
  p.expert_stream_bytes_cold = static_cast<uint64_t>(std::round(cold));
  p.expert_stream_bytes = static_cast<uint64_t>(std::round(cold * (1 - held)));
  return {};
}

Result<Plan> price(const Architecture& arch, const PlanRequest& r) {
  const std::vector<ParameterPiece> pieces = parameter_pieces(arch, r.weights);
  Plan p{.name = arch.name,
         .context = r.context,
         .batch = r.batch,
         .max_positions = arch.max_positions,
         .weights = option_name(r.weights),
         .kv = state_name(r.kv),
         .what_if = r.what_if,
         .max_batch_tokens = step_limits(r).max_rows,
         .memory = r.memory,
         .bandwidth = r.bandwidth,
         .params_total = total_parameters(pieces),
         .params_active = active_parameters(pieces)};
  LH_RETURN_IF_ERROR(price_experts(arch, r, p));
  p.weight_bytes_mapped = mapped_bytes(arch, r.weights);
  p.scratch_bytes = scratch_bytes(arch, step_limits(r));
  LH_TRY(p.state_bytes, narrow(state_bytes_of(arch, r, r.context), "state bytes"));
  LH_TRY(p.growing_state_bytes, narrow(growing_bytes_of(arch, r), "state bytes"));
  for (const StateSpec& s : arch.states) p.state_bytes_per_token += growth_per_token(s, r);
  LH_TRY(p.total_bytes, narrow(Wide{p.weight_bytes} + p.state_bytes + p.scratch_bytes, "bytes"));
  LH_TRY(p.decode_attention_flops,
         narrow(attention_flops_at(arch, r.context), "FLOPs of attention"));
  Wide decode_flops =
      Wide{head_flops_per_row(arch)} + collapse_flops_per_row(arch) + p.decode_attention_flops;
  for (const Block& block : arch.blocks) decode_flops += linear_flops_per_row(arch, block);
  LH_TRY(p.decode_flops_per_token, narrow(decode_flops, "FLOPs of a token"));
  LH_TRY(p.decode_fp8_equivalent_flops,
         narrow(decode_fp8_equivalent_flops(arch, r.weights, r.context), "FLOPs of a token"));
  LH_TRY(p.prefill_flops, narrow(prefill_flops(arch, r.context), "FLOPs of the prompt"));
  LH_TRY(p.prefill_flops_skip,
         narrow(prefill_flops_needed_rows(arch, r.context), "FLOPs of the prompt"));
  LH_RETURN_IF_ERROR(price_traffic(arch, r, pieces, p));
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

static WhatIf what_if_of(const Plan& p, const char* name, const char* meaning) {
  return {name, meaning, p.state_bytes, p.decode_flops_per_token, p.decode_attention_flops};
}

void price_what_ifs(const Architecture& arch, const PlanRequest& request, Plan& plan) {
  PlanRequest r = request;
  r.what_if.clear();
  const Result<Plan> shipped = make_plan(arch, r);
  if (!shipped.ok()) return;
  plan.shipped = what_if_of(*shipped, "as shipped", "");
  if (!request.what_if.empty()) return;
  for (const char* name : what_if_names()) {
    r.what_if = {name};
    const Result<Plan> edited = make_plan(arch, r);
    if (edited.ok()) plan.edits.push_back(what_if_of(*edited, name, what_if_meaning(name)));
  }
}

}  // namespace longhaul
