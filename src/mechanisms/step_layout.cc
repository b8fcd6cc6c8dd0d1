#include "mechanisms/step_layout.h"

#include <algorithm>

#include "mechanisms/attention.h"
#include "mechanisms/cca.h"
#include "mechanisms/compressed_attention.h"
#include "mechanisms/hyper_connections.h"
#include "mechanisms/mlp.h"
#include "mechanisms/moe.h"
#include "mechanisms/parallel.h"
#include "mechanisms/per_layer_embedding.h"
#include "mechanisms/router.h"

namespace longhaul {

std::vector<RopeSpec> rope_specs(const Architecture& arch) {
  std::vector<RopeSpec> specs;
  for (const Block& block : arch.blocks) {
    const auto* attention = as_attention(block);
    if (attention != nullptr && std::find(specs.begin(), specs.end(), attention->rope) == specs.end()) specs.push_back(attention->rope);
  }
  return specs;
}

bool reads_embedding(const Architecture& arch) {
  return std::any_of(arch.blocks.begin(), arch.blocks.end(),
                     [](const Block& b) { return std::holds_alternative<PerLayerEmbeddingSpec>(b.mixer); });
}

int64_t router_state_width(const Architecture& arch) {
  int64_t width = 0;
  for (const Block& block : arch.blocks) {
    if (const auto* moe = std::get_if<MoeSpec>(&block.mixer)) width = std::max(width, router_state_width(moe->router));
  }
  return width;
}

StepBuffers take_step_buffers(Arena& arena, const Architecture& arch, const StepLimits& limits) {
  const int64_t r = limits.max_rows, d = arch.hidden_size;
  StepBuffers b;
  b.x = arena.take<float>(r * arch.n_streams * d);
  if (arch.n_streams > 1) b.coefficients = arena.take<float>(r * hyper_coefficients(arch.n_streams));
  b.h = arena.take<float>(r * d);
  b.needed_h = arena.take<float>(r * d);
  b.y = arena.take<float>(r * d);
  if (reads_embedding(arch)) b.embedded = arena.take<float>(r * d);
  if (const int64_t width = router_state_width(arch); width > 0) b.router_states = arena.take<float>(r * width);
  b.tokens = arena.take<int32_t>(r);
  b.needed_tokens = arena.take<int32_t>(r);
  b.positions = arena.take<int64_t>(r);
  b.needed_positions = arena.take<int64_t>(r);
  b.needed_rows = arena.take<int64_t>(r);
  b.rows = arena.take<SequenceRows>(limits.max_sequences);
  b.needed = arena.take<SequenceRows>(limits.max_sequences);
  for (const RopeSpec& spec : rope_specs(arch)) {
    const int64_t n = r * spec.n_pairs;
    b.rope.push_back({arena.take<float>(n), arena.take<float>(n), arena.take<float>(n), arena.take<float>(n)});
  }
  b.head_in = arena.take<float>(limits.max_logit_rows * d);
  b.logits = arena.take<float>(limits.max_logit_rows * arch.vocab_size);
  return b;
}

uint64_t mixer_scratch_bytes(const Architecture& arch, const Block& block, const StepLimits& limits) {
  const int64_t d = arch.hidden_size;
  if (const auto* s = std::get_if<AttentionSpec>(&block.mixer)) return attention_scratch_bytes(*s, d, limits);
  if (const auto* s = std::get_if<CcaSpec>(&block.mixer)) return cca_scratch_bytes(*s, d, limits);
  if (const auto* s = std::get_if<CompressedAttentionSpec>(&block.mixer)) return compressed_attention_scratch_bytes(*s, d, limits);
  if (const auto* s = std::get_if<GatedMlpSpec>(&block.mixer)) return mlp_scratch_bytes(*s, d, limits);
  if (const auto* s = std::get_if<MoeSpec>(&block.mixer)) return moe_scratch_bytes(*s, d, limits);
  if (const auto* s = std::get_if<ParallelSpec>(&block.mixer)) return parallel_scratch_bytes(*s, d, limits);
  return per_layer_embedding_scratch_bytes(std::get<PerLayerEmbeddingSpec>(block.mixer), d, limits);
}

uint64_t arena_bytes(const Architecture& arch, const StepLimits& limits) {
  Arena arena;
  take_step_buffers(arena, arch, limits);
  uint64_t mixers = matmul_scratch_bytes(limits.weights, limits.max_logit_rows, arch.hidden_size);  // the head
  for (const Block& block : arch.blocks) mixers = std::max(mixers, mixer_scratch_bytes(arch, block, limits));
  return arena.used() + mixers;
}

std::vector<uint64_t> in_flight_buffer_bytes(const Architecture& arch, const InFlightPlan& plan, const StepLimits& limits) {
  std::vector<uint64_t> bytes(static_cast<size_t>(plan.n_buffers), 0);
  const int64_t slots = in_flight_slots(limits.max_rows, limits.max_sequences);
  for (size_t i = 0; i < arch.states.size(); ++i) {
    if (plan.buffer[i] == kNone) continue;
    uint64_t& b = bytes[static_cast<size_t>(plan.buffer[i])];
    b = std::max(b, kv_layout(arch.states[i], limits.kv).block_bytes(slots));
  }
  return bytes;
}

uint64_t scratch_bytes(const Architecture& arch, const StepLimits& limits) {
  uint64_t total = arena_bytes(arch, limits);
  for (uint64_t b : in_flight_buffer_bytes(arch, plan_in_flight(arch), limits)) total += b;
  return total;
}

}  // namespace longhaul
