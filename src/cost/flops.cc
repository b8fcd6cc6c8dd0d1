#include "cost/flops.h"

#include "mechanisms/residual.h"

namespace longhaul {
namespace {

bool is_multiplied(WeightUse use) {
  return use == WeightUse::kMatrix || use == WeightUse::kExpert || use == WeightUse::kTaps ||
         use == WeightUse::kFine;
}

uint64_t weight_flops(const WeightSpec& w, const WeightRole& role) {
  if (!is_multiplied(w.use)) return 0;
  const int64_t matrices = role.top_k > 0 ? role.top_k : w.n_experts;
  return 2 * static_cast<uint64_t>(matrices * w.rows) * static_cast<uint64_t>(w.cols);
}

// Reading the stream and writing it back, without the products that make the coefficients.
uint64_t stream_mix_flops(const Architecture& arch, const Block& block) {
  return read_flops(arch, block.residual) + write_flops(arch, block.residual);
}

// What a row costs that only leaves its state: reading it from the stream, and the weights for
// that.
Wide state_flops_per_row(const Architecture& arch, const Block& block) {
  Wide flops = read_flops(arch, block.residual);
  for_each_weight(block, [&](WeightId id, const WeightRole& role) {
    if (role.for_state) flops += weight_flops(arch.weight(id), role);
  });
  return flops;
}

}  // namespace

uint64_t linear_flops_per_row(const Architecture& arch, const Block& block) {
  uint64_t flops = stream_mix_flops(arch, block);
  for_each_weight(block, [&](WeightId id, const WeightRole& role) {
    flops += weight_flops(arch.weight(id), role);
  });
  return flops;
}

uint64_t head_flops_per_row(const Architecture& arch) {
  return 2 * static_cast<uint64_t>(arch.vocab_size) * static_cast<uint64_t>(arch.hidden_size);
}

uint64_t collapse_flops_per_row(const Architecture& arch) {
  if (!arch.head.collapse) return 0;
  const WeightSpec& fn = arch.weight(arch.head.collapse->fn);
  return 2 * static_cast<uint64_t>(fn.n_elements()) +
         hyper_read_flops(arch.n_streams, arch.hidden_size);
}

Wide attention_flops_at(const Architecture& arch, int64_t n) {
  Wide flops = 0;
  for (const Block& block : arch.blocks) flops += block.mixer.context_work(n).flops();
  return flops;
}

Wide prefill_flops(const Architecture& arch, int64_t n) {
  Wide flops = head_flops_per_row(arch) + Wide{collapse_flops_per_row(arch)} * static_cast<Wide>(n);
  for (const Block& block : arch.blocks) {
    flops += Wide{linear_flops_per_row(arch, block)} * static_cast<Wide>(n) +
             block.mixer.prompt_flops(n);
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
      flops += linear * static_cast<Wide>(n) + block.mixer.prompt_flops(n);
      continue;
    }
    flops += linear + block.mixer.context_work(n).flops();
    if (b == last_writer) flops += state_flops_per_row(arch, block) * static_cast<Wide>(n - 1);
  }
  return flops;
}

// In halves of an FP8 FLOP, so that FP4 has a whole number too.
Wide decode_fp8_equivalent_flops(const Architecture& arch, const WeightFormat& format, int64_t n) {
  constexpr unsigned kFp4 = 1, kFp8 = 2, kBf16 = 4, kF32 = 4;
  const auto weight = [&](WeightId id, const WeightRole& role) {
    const WeightSpec& w = arch.weight(id);
    return Wide{weight_flops(w, role)} * (format.stored_codec(w).has_fp8_inputs ? kFp8 : kBf16);
  };
  const auto unit = [&](const StateWork& w) {
    if (w.in == ComputedIn::kF32) return kF32;
    if (w.in == ComputedIn::kBf16) return kBf16;
    const RowCoding kept = arch.state(w.kept).released.coding;
    return kept == RowCoding::kMxFp4 ? kFp4 : kept == RowCoding::kPlain ? kBf16 : kFp8;
  };
  Wide halves = Wide{collapse_flops_per_row(arch)} * kF32 + weight(arch.head.matrix, {});
  for (const Block& block : arch.blocks) {
    for_each_weight(block,
                    [&](WeightId id, const WeightRole& role) { halves += weight(id, role); });
    halves += Wide{stream_mix_flops(arch, block)} * kF32;
    for (const StateWork& w : block.mixer.context_work(n).work) halves += Wide{w.flops} * unit(w);
  }
  return halves / 2;
}

}  // namespace longhaul
