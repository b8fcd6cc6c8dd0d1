#include "cost/flops.h"

#include "cost/parameters.h"
#include "mechanisms/attention.h"

namespace longhaul {
namespace {

uint64_t weight_flops(const Architecture& arch, const Block& block, WeightId id) {
  if (id == kNone) return 0;
  const WeightSpec& w = arch.weight(id);
  if (w.use != WeightUse::kMatrix && w.use != WeightUse::kExpert && w.use != WeightUse::kTaps) return 0;
  const MoeSpec* moe = moe_of(block, id);
  return 2 * static_cast<uint64_t>((moe == nullptr ? w.n_experts : moe->top_k) * w.rows) * static_cast<uint64_t>(w.cols);
}

// What a row costs that only leaves its keys and values: their projections. Convolutions mix queries and keys of all rows, so there everything
// but the output projection.
Wide state_flops_per_row(const Architecture& arch, const Block& block) {
  const AttentionSpec& s = *as_attention(block);
  if (std::holds_alternative<CcaSpec>(block.mixer)) return linear_flops_per_row(arch, block) - weight_flops(arch, block, s.o_proj);
  return weight_flops(arch, block, s.k_proj) + weight_flops(arch, block, s.v_proj);
}

// Keys seen by all rows of a prompt of n tokens: sum over t = 1..n of min(t, window).
Wide keys_seen(int64_t n, int64_t window) {
  const Wide ramp = static_cast<Wide>(std::min(n, window));
  const Wide flat = static_cast<Wide>(n) - ramp;
  return ramp * (ramp + 1) / 2 + flat * ramp;
}

Wide attention_flops_of_prompt(const Block& block, int64_t n) {
  const auto* s = as_attention(block);
  return s == nullptr ? 0 : Wide{attention_flops(*s, 1)} * keys_seen(n, s->window);
}

}  // namespace

uint64_t linear_flops_per_row(const Architecture& arch, const Block& block) {
  uint64_t flops = 0;
  for_each_weight(block, [&](WeightId id) { flops += weight_flops(arch, block, id); });
  return flops;
}

uint64_t head_flops_per_row(const Architecture& arch) {
  return 2 * static_cast<uint64_t>(arch.vocab_size) * static_cast<uint64_t>(arch.hidden_size);
}

uint64_t attention_flops_at(const Block& block, int64_t n) {
  const auto* s = as_attention(block);
  return s == nullptr ? 0 : attention_flops(*s, visible_keys(*s, n - 1));
}

Wide attention_flops_at(const Architecture& arch, int64_t n) {
  Wide flops = 0;
  for (const Block& block : arch.blocks) flops += attention_flops_at(block, n);
  return flops;
}

Wide prefill_flops(const Architecture& arch, int64_t n) {
  Wide flops = head_flops_per_row(arch);
  for (const Block& block : arch.blocks) {
    flops += Wide{linear_flops_per_row(arch, block)} * static_cast<Wide>(n) + attention_flops_of_prompt(block, n);
  }
  return flops;
}

Wide prefill_flops_needed_rows(const Architecture& arch, int64_t n) {
  Wide flops = head_flops_per_row(arch);
  const int64_t last_writer = last_writing_block(arch);
  for (int64_t b = 0; b < static_cast<int64_t>(arch.blocks.size()); ++b) {
    const Block& block = arch.blocks[static_cast<size_t>(b)];
    const Wide linear = linear_flops_per_row(arch, block);
    if (b < last_writer) {
      flops += linear * static_cast<Wide>(n) + attention_flops_of_prompt(block, n);
      continue;
    }
    flops += linear + attention_flops_at(block, n);
    if (b == last_writer) {
      flops += state_flops_per_row(arch, block) * static_cast<Wide>(n - 1);
    }
  }
  return flops;
}

}  // namespace longhaul
