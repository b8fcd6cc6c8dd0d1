// The memory of a step: which buffers an executor needs for a description and limits. The planner
// counts with the same code.
#pragma once

#include "arch/architecture.h"
#include "mechanisms/block_io.h"

namespace longhaul {

// Angles of one rope spec, for the input rows of a step and for its output rows.
struct RopeBuffers {
  Rows<float> cos, sin;          // [R, n_pairs]
  Rows<float> out_cos, out_sin;  // likewise
};

// R = max_rows, D = hidden size.
struct StepBuffers {
  Rows<float> x;              // [R, n_streams * D] the residual stream
  Rows<float> coefficients;   // [R, (2 + n) n] of n streams; no rows of one
  Rows<float> h;              // [R, D] what a mixer reads
  Rows<float> out_h;          // [R, D] the output rows of h
  Rows<float> y;              // [R, D] what a mixer gives
  Rows<float> embedded;       // [R, D] scaled embeddings; no rows where no block reads them
  Rows<float> router_states;  // [R, width]; no rows where routers hand nothing on
  std::span<int32_t> tokens, out_tokens;             // [R]
  std::span<int64_t> positions, out_positions;       // [R]
  std::span<int64_t> out_rows;                       // [R] numbers of the output rows
  std::span<SequenceRows> sequences, out_sequences;  // [max_sequences]
  std::vector<RopeBuffers> rope;                     // by distinct rope spec
  Rows<float> head_in;                               // [max_logit_rows, D]
  Rows<float> logits;                                // [max_logit_rows, V]
};

// The distinct rope specs of a model, in order of first use, and which of them each block uses.
struct RopeSpecs {
  std::vector<RopeSpec> specs;
  std::vector<int32_t> of_block;  // kNone: none
};
RopeSpecs rope_specs(const Architecture& arch);

StepBuffers take_step_buffers(Arena& arena, const Architecture& arch, const StepLimits& limits);

// All scratch of an executor but what is in flight: what one arena must hold. Every block and the
// head are run, on a backend that only counts, for the largest step there may be.
uint64_t arena_bytes(const Architecture& arch, const StepLimits& limits);
// What waits for the caller's word, by state.
std::vector<uint64_t> in_flight_bytes(const Architecture& arch, const StepLimits& limits);
// Everything a step needs besides weights and state: arena and in-flight buffers.
uint64_t scratch_bytes(const Architecture& arch, const StepLimits& limits);

}  // namespace longhaul
