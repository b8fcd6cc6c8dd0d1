#include "cost/flops.h"

#include "cost/parameters.h"
#include "mechanisms/compressed_attention.h"
#include "mechanisms/hyper_connections.h"

namespace longhaul {
namespace {

uint64_t weight_flops(const Architecture& arch, const Block& block, WeightId id) {
  if (id == kNone) return 0;
  const WeightSpec& w = arch.weight(id);
  if (w.use != WeightUse::kMatrix && w.use != WeightUse::kExpert && w.use != WeightUse::kTaps && w.use != WeightUse::kFine) return 0;
  const MoeSpec* moe = moe_of(block, id);
  return 2 * static_cast<uint64_t>((moe == nullptr ? w.n_experts : moe->top_k) * w.rows) * static_cast<uint64_t>(w.cols);
}

uint64_t stream_read_flops(const Architecture& arch, const Block& block) {
  const auto* hyper = std::get_if<HyperResidual>(&block.residual);
  if (hyper == nullptr) return 0;
  return weight_flops(arch, block, hyper->fn) + hyper_read_flops(arch.n_streams, arch.hidden_size);
}

// What a row costs that only leaves its keys and values: reading it from the streams, and their projections. Convolutions mix queries and keys of
// all rows, so there everything but the output projection.
Wide state_flops_per_row(const Architecture& arch, const Block& block) {
  const AttentionSpec& s = *as_attention(block);
  if (std::holds_alternative<CcaSpec>(block.mixer)) return linear_flops_per_row(arch, block) - weight_flops(arch, block, s.o_proj);
  Wide flops = stream_read_flops(arch, block);
  const auto add = [&](std::initializer_list<WeightId> ids) {
    for (WeightId id : ids) flops += weight_flops(arch, block, id);
  };
  add({s.k_proj, s.v_proj});
  const auto* compressed = std::get_if<CompressedAttentionSpec>(&block.mixer);
  if (compressed != nullptr && compressed->compressor) add({compressed->compressor->kv_proj, compressed->compressor->gate_proj});
  if (compressed != nullptr && compressed->indexer) add({compressed->indexer->keys.kv_proj, compressed->indexer->keys.gate_proj});
  return flops;
}

// Keys seen by all rows of a prompt of n tokens: sum over t = 1..n of min(t, window).
Wide keys_seen(int64_t n, int64_t window) {
  const Wide ramp = static_cast<Wide>(std::min(n, window));
  const Wide flat = static_cast<Wide>(n) - ramp;
  return ramp * (ramp + 1) / 2 + flat * ramp;
}

// Entries seen by all rows of a prompt: sum over t = 1..n of min(floor(t / ratio), top_k).
Wide entries_seen(int64_t n, int64_t ratio, int64_t top_k) {
  const auto all = [&](int64_t last) {
    const Wide q = static_cast<Wide>(last / ratio), r = static_cast<Wide>(last % ratio), m = static_cast<Wide>(ratio);
    return q == 0 ? Wide{0} : m * (q * (q - 1) / 2) + q * (r + 1);
  };
  if (n / ratio <= top_k) return all(n);
  return all(ratio * top_k - 1) + static_cast<Wide>(n - ratio * top_k + 1) * static_cast<Wide>(top_k);
}

Wide attention_flops_of_prompt(const Block& block, int64_t n) {
  const auto* s = as_attention(block);
  if (s == nullptr) return 0;
  Wide keys = keys_seen(n, s->window), scores = 0;
  const auto* compressed = std::get_if<CompressedAttentionSpec>(&block.mixer);
  if (compressed != nullptr && compressed->compressor) {
    const int64_t ratio = compressed->compressor->ratio;
    keys += entries_seen(n, ratio, compressed->indexer ? compressed->indexer->top_k : n);
    if (compressed->indexer) scores = Wide{indexer_flops(*compressed->indexer, 1)} * entries_seen(n, ratio, n);
  }
  return Wide{attention_flops(*s, 1)} * keys + scores;
}

}  // namespace

uint64_t linear_flops_per_row(const Architecture& arch, const Block& block) {
  uint64_t flops = 0;
  for_each_weight(block, [&](WeightId id) { flops += weight_flops(arch, block, id); });
  if (!std::holds_alternative<HyperResidual>(block.residual)) return flops;
  return flops + hyper_read_flops(arch.n_streams, arch.hidden_size) + hyper_write_flops(arch.n_streams, arch.hidden_size);
}

uint64_t head_flops_per_row(const Architecture& arch) {
  return 2 * static_cast<uint64_t>(arch.vocab_size) * static_cast<uint64_t>(arch.hidden_size);
}

uint64_t collapse_flops_per_row(const Architecture& arch) {
  if (!arch.head.collapse) return 0;
  const WeightSpec& fn = arch.weight(arch.head.collapse->fn);
  return 2 * static_cast<uint64_t>(fn.n_elements()) + hyper_read_flops(arch.n_streams, arch.hidden_size);
}

uint64_t attention_flops_at(const Block& block, int64_t n) {
  const auto* s = as_attention(block);
  if (const auto* compressed = std::get_if<CompressedAttentionSpec>(&block.mixer)) {
    const uint64_t scores =
        compressed->indexer ? indexer_flops(*compressed->indexer, visible_entries(compressed->indexer->keys, n - 1)) : 0;
    return attention_flops(*s, attended_rows(*compressed, n - 1)) + scores;
  }
  return s == nullptr ? 0 : attention_flops(*s, visible_keys(*s, n - 1));
}

Wide attention_flops_at(const Architecture& arch, int64_t n) {
  Wide flops = 0;
  for (const Block& block : arch.blocks) flops += attention_flops_at(block, n);
  return flops;
}

Wide prefill_flops(const Architecture& arch, int64_t n) {
  Wide flops = head_flops_per_row(arch) + Wide{collapse_flops_per_row(arch)} * static_cast<Wide>(n);
  for (const Block& block : arch.blocks) {
    flops += Wide{linear_flops_per_row(arch, block)} * static_cast<Wide>(n) + attention_flops_of_prompt(block, n);
  }
  return flops;
}

Wide prefill_flops_needed_rows(const Architecture& arch, int64_t n) {
  Wide flops = head_flops_per_row(arch) + Wide{collapse_flops_per_row(arch)};
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
