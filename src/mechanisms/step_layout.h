// The memory of a step: which buffers an executor needs for a description and limits. The planner counts with the same code.
#pragma once

#include "arch/architecture.h"
#include "mechanisms/env.h"
#include "mechanisms/rope.h"

namespace longhaul {

// Angles of one rope spec, for all rows of the step and for those that go on behind the last block that writes state.
struct RopeBuffers {
  float *cos = nullptr, *sin = nullptr;                // [max_rows, n_pairs]
  float *needed_cos = nullptr, *needed_sin = nullptr;  // likewise
};

// R = max_rows, D = hidden size.
struct StepBuffers {
  float* x = nullptr;                                         // [R, n_streams, D] the residual stream
  float* coefficients = nullptr;                              // [R, (2 + n) n], where n_streams are connected
  float* h = nullptr;                                         // [R, D] what a mixer reads
  float* needed_h = nullptr;                                  // [R, D] the needed rows of h
  float* y = nullptr;                                         // [R, D] what a mixer gives
  float* embedded = nullptr;                                  // [R, D] scaled embeddings, where a block reads them
  float* router_states = nullptr;                             // [R, router_state_width], where routers hand something on
  int32_t *tokens = nullptr, *needed_tokens = nullptr;        // [R]
  int64_t *positions = nullptr, *needed_positions = nullptr;  // [R]
  int64_t* needed_rows = nullptr;                             // [R] row numbers
  SequenceRows *rows = nullptr, *needed = nullptr;            // [max_sequences]
  std::vector<RopeBuffers> rope;                              // by distinct rope spec
  float* head_in = nullptr;                                   // [max_logit_rows, D]
  float* logits = nullptr;                                    // [max_logit_rows, V]
};

// The distinct rope specs of a model, in order of first use.
std::vector<RopeSpec> rope_specs(const Architecture& arch);
bool reads_embedding(const Architecture& arch);
int64_t router_state_width(const Architecture& arch);

StepBuffers take_step_buffers(Arena& arena, const Architecture& arch, const StepLimits& limits);
uint64_t mixer_scratch_bytes(const Architecture& arch, const Block& block, const StepLimits& limits);

// All scratch of an executor but the in-flight rows of rings: what one arena must hold.
uint64_t arena_bytes(const Architecture& arch, const StepLimits& limits);
// Bytes of each in-flight buffer: the widest state that uses it.
std::vector<uint64_t> in_flight_buffer_bytes(const Architecture& arch, const InFlightPlan& plan, const StepLimits& limits);
// Everything a step needs besides weights and state: arena and in-flight rows.
uint64_t scratch_bytes(const Architecture& arch, const StepLimits& limits);

}  // namespace longhaul
