#include "mechanisms/step_layout.h"

#include <algorithm>

#include "mechanisms/kv_cache.h"
#include "mechanisms/linear.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

// States of which only the layout is known.
class StateLayouts final : public States {
 public:
  StateLayouts(const Architecture& arch, const StateFormat& format)
      : arch_(arch), format_(format) {}
  KvStep kv(StateId id) const override {
    return {.layout = kv_layout(arch_.state(id), format_), .writes = {}, .segments = {}};
  }
  FixedStep fixed(StateId) const override { return {}; }

 private:
  const Architecture& arch_;
  const StateFormat& format_;
};

Needs needs_of(const Architecture& arch) {
  Needs all;
  for (const Block& block : arch.blocks) {
    const Needs own = block.mixer.needs();
    all.embedding = all.embedding || own.embedding;
    all.router_state_width = std::max(all.router_state_width, own.router_state_width);
  }
  return all;
}

// A forward pass of the largest steps.
class LargestStep {
 public:
  LargestStep(Arena& arena, const Architecture& arch, const StepLimits& limits)
      : arch_(arch),
        limits_(limits),
        buffers_(take_step_buffers(arena, arch, limits)),
        weights_(empty_weights(arch, limits.weights)),
        states_(arch, limits.kv),
        ops_(counting_ops(limits.n_threads)),
        ropes_(rope_specs(arch)),
        sequences_(static_cast<size_t>(limits.max_sequences)),
        env_{.ops = ops_.get(), .weights = &weights_, .scratch = &arena} {}

  void run() {
    const int64_t last_writer = last_writing_block(arch_);
    for (size_t b = 0; b < arch_.blocks.size(); ++b) {
      run_block(b, limits_.max_rows);
      // There fewer rows may go on than come in: then queries and keys are made of other rows.
      if (static_cast<int64_t>(b) == last_writer) run_block(b, limits_.max_rows - 1);
    }
    linear(env_, {{arch_.head.matrix, buffers_.head_in, buffers_.logits}});
  }

 private:
  RowSet rows(int64_t n) const { return {n, {}, {}, sequences_}; }

  void run_block(size_t b, int64_t n_out) {
    const auto first = [&](Rows<float> rows) { return rows.n == 0 ? rows : rows.slice(0, n_out); };
    BlockIo io{.in = rows(limits_.max_rows),
               .out = rows(n_out),
               .x = buffers_.h,
               .out_x = n_out < limits_.max_rows ? first(buffers_.out_h) : buffers_.h,
               .y = first(buffers_.y),
               .states = &states_,
               .embedded = first(buffers_.embedded),
               .router_states = first(buffers_.router_states)};
    if (const int32_t i = ropes_.of_block[b]; i != kNone) {
      const RopeBuffers& r = buffers_.rope[static_cast<size_t>(i)];
      io.angles = io.out_angles = {r.cos, r.sin};
    }
    arch_.blocks[b].mixer.forward(env_, io);
  }

  const Architecture& arch_;
  const StepLimits& limits_;
  StepBuffers buffers_;
  Weights weights_;
  StateLayouts states_;
  std::unique_ptr<Ops> ops_;
  RopeSpecs ropes_;
  std::vector<SequenceRows> sequences_;
  Env env_;
};

}  // namespace

RopeSpecs rope_specs(const Architecture& arch) {
  RopeSpecs all;
  for (const Block& block : arch.blocks) {
    all.of_block.push_back(kNone);
    const std::optional<RopeSpec> spec = block.mixer.needs().rope;
    if (!spec) continue;
    const auto found = std::find(all.specs.begin(), all.specs.end(), *spec);
    all.of_block.back() = static_cast<int32_t>(found - all.specs.begin());
    if (found == all.specs.end()) all.specs.push_back(*spec);
  }
  return all;
}

StepBuffers take_step_buffers(Arena& arena, const Architecture& arch, const StepLimits& limits) {
  const int64_t r = limits.max_rows, d = arch.hidden_size, n = arch.n_streams;
  const Needs needs = needs_of(arch);
  StepBuffers b;
  b.x = arena.take_rows<float>(r, n * d);
  if (n > 1) b.coefficients = arena.take_rows<float>(r, stream_coefficients(n));
  b.h = arena.take_rows<float>(r, d);
  b.out_h = arena.take_rows<float>(r, d);
  b.y = arena.take_rows<float>(r, d);
  if (needs.embedding) b.embedded = arena.take_rows<float>(r, d);
  if (needs.router_state_width > 0) {
    b.router_states = arena.take_rows<float>(r, needs.router_state_width);
  }
  b.tokens = arena.take_span<int32_t>(r);
  b.out_tokens = arena.take_span<int32_t>(r);
  b.positions = arena.take_span<int64_t>(r);
  b.out_positions = arena.take_span<int64_t>(r);
  b.out_rows = arena.take_span<int64_t>(r);
  b.sequences = arena.take_span<SequenceRows>(limits.max_sequences);
  b.out_sequences = arena.take_span<SequenceRows>(limits.max_sequences);
  for (const RopeSpec& spec : rope_specs(arch).specs) {
    const auto take = [&] { return arena.take_rows<float>(r, spec.n_pairs); };
    b.rope.push_back({take(), take(), take(), take()});
  }
  b.head_in = arena.take_rows<float>(limits.max_logit_rows, d);
  b.logits = arena.take_rows<float>(limits.max_logit_rows, arch.vocab_size);
  return b;
}

uint64_t arena_bytes(const Architecture& arch, const StepLimits& limits) {
  Arena arena;
  LargestStep(arena, arch, limits).run();
  return arena.peak();
}

std::vector<uint64_t> in_flight_bytes(const Architecture& arch, const StepLimits& limits) {
  std::vector<uint64_t> bytes;
  for (const StateSpec& spec : arch.states) {
    bytes.push_back(in_flight_bytes(spec, limits.kv, limits.max_rows, limits.max_sequences));
  }
  return bytes;
}

uint64_t scratch_bytes(const Architecture& arch, const StepLimits& limits) {
  uint64_t total = arena_bytes(arch, limits);
  for (uint64_t bytes : in_flight_bytes(arch, limits)) total += bytes;
  return total;
}

}  // namespace longhaul
