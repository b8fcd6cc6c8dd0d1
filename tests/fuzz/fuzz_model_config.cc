// config.json to a description, then everything that is told about it before a weight is read:
// weights, plans, reports, each what-if.

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "check_error.h"
#include "cost/inspect.h"
#include "cost/plan.h"
#include "cost/report.h"
#include "mechanisms/mixers.h"
#include "mechanisms/rope.h"
#include "mechanisms/what_if.h"
#include "models/registry.h"

namespace {

using namespace longhaul;

void check_angles(const RopeSpec& rope) {
  for (const int64_t n_tokens : {int64_t{1}, int64_t{1} << 20, int64_t{1} << 40}) {
    for (const float f : rope_frequencies(rope, n_tokens)) LH_CHECK(std::isfinite(f) && f >= 0);
    if (!rope.follows_length()) return;
  }
}

void check_weights(const Architecture& arch) {
  for_each_weight(arch, [&](WeightId id) {
    const WeightSpec& w = arch.weight(id);
    LH_CHECK(w.rows > 0 && w.cols > 0 && w.n_elements() > 0 &&
             w.n_elements() <= w.n_tensors * arch.tensor_of(id).n_elements());
  });
  for (const Block& block : arch.blocks) {
    const auto* attention = attention_of(block.mixer);
    if (attention == nullptr) continue;
    const StateSpec& state = arch.state(attention->state);
    LH_CHECK(state.n_kv_heads == attention->n_kv_heads && state.head_dim == attention->head_dim &&
             state.window == attention->window);
    LH_CHECK(attention->n_heads % attention->n_kv_heads == 0 &&
             attention->rope.live_pairs <= attention->rope.n_pairs);
    check_angles(attention->rope);
  }
}

void price(const Architecture& arch, PlanRequest request) {
  const auto plan = make_plan(arch, request);
  if (!plan.ok()) {
    LH_CHECK(!plan.error().text().empty());
    return;
  }
  LH_CHECK(plan->total_bytes >= plan->weight_bytes && plan->total_bytes >= plan->state_bytes);
  LH_CHECK(plan->decode_flops_per_token > plan->decode_attention_flops &&
           plan->prefill_flops >= plan->prefill_flops_skip);
  LH_CHECK(plan->decode_read_bytes >= plan->decode_read_weight_bytes &&
           plan->params_total >= plan->layers.front().params);
  if (request.memory && plan->max_context > 0)
    LH_CHECK(*plan->max_context >= request.context || plan->total_bytes > *request.memory);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = parse_json({reinterpret_cast<const char*>(data), size}, "input");
  if (!config.ok()) return 0;
  const auto arch = read_architecture(*config, "input");
  if (!arch.ok()) {
    check_error(arch.error());
    return 0;
  }
  check_weights(*arch);
  (void)inspect_report(*arch);
  (void)inspect_json(*arch).dump();
  for (const int64_t context :
       {int64_t{1}, int64_t{4096}, arch->max_positions, kMaxPlannedContext, INT64_MAX}) {
    price(*arch, {.context = context, .memory = uint64_t{1} << 34});
  }
  // The widest request there is.
  price(*arch, {.context = kMaxPlannedContext,
                .batch = 1 << 16,
                .weights = WeightFormat::kF32,
                .kv = DType::kF32,
                .chunk = 1 << 20,
                .logit_rows = 1 << 20,
                .n_threads = 1 << 12,
                .memory = UINT64_MAX});
  for (const char* name : what_if_names()) {
    const auto edited = apply_what_if(*arch, name);
    if (!edited.ok()) continue;
    check_weights(*edited);
    price(*edited, {.context = kMaxPlannedContext,
                    .batch = 1 << 16,
                    .weights = WeightFormat::kF32,
                    .kv = DType::kF32});
  }
  // With each report's comparison of all edits; once, as it costs the most.
  const PlanRequest request{.context = 4096};
  if (const auto plan = make_plan(*arch, request); plan.ok())
    (void)plan_report(*arch, *plan, request);
  return 0;
}
