// What a context costs, from the description alone: bytes of weights, state and scratch, FLOPs,
// bytes read a token. Every figure comes from the formulas that the executor, the loader and the
// sequences allocate and count by.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "base/errors.h"
#include "mechanisms/env.h"
#include "mechanisms/resident_weights.h"
#include "tensor/state_format.h"

namespace longhaul {

struct PlanRequest {
  int64_t context = 4096;  // tokens in a sequence, the one being computed included
  int64_t batch = 1;       // sequences
  WeightFormat weights = WeightFormat::kBF16;
  StateFormat kv;
  int64_t chunk = 512;     // rows a step
  int64_t logit_rows = 1;  // rows of logits computed at a time
  int n_threads = 1;
  std::optional<uint64_t> memory;    // bytes to fit in
  std::optional<double> bandwidth;   // bytes a second of memory, for the bound on speed
  uint64_t expert_cache = 0;         // bytes of experts held at a time; 0: all
  std::vector<std::string> what_if;  // edits to price, in order
};

// The limits of the executor that this request describes.
StepLimits step_limits(const PlanRequest& request);

// One layer. Parameters and weight bytes are those that no other layer uses; experts that stay in
// their files are no bytes.
struct LayerPlan {
  int64_t layer = 0;
  std::vector<std::string> mixers;  // "attention sliding 512", "mlp 6144", one a block
  uint64_t params = 0, weight_bytes = 0;
  uint64_t state_bytes = 0;  // of all sequences
  // growth of append-only state; of compressed rows a token's share
  double state_bytes_per_token = 0;
  int64_t state_source = kNone;  // the layer whose cache it reads instead of its own
  uint64_t decode_flops = 0;     // one row at the end of the context
  uint64_t kv_read_bytes = 0;    // one row at the end of the context
};

struct Plan {
  std::string name;
  int64_t context = 0, batch = 0, max_positions = 0;
  std::string weights, kv;  // as the command line names them: "bf16", "f32", "released"
  std::vector<std::string> what_if;

  uint64_t params_total = 0;
  uint64_t params_active = 0;        // multiplied or added for one token, head included
  uint64_t weight_bytes = 0;         // resident: packed matrices, f32 vectors, the cache of experts
  uint64_t weight_bytes_mapped = 0;  // tables read by row from their file
  uint64_t state_bytes = 0;          // all sequences at full context, as allocated
  uint64_t growing_state_bytes = 0;  // of these, what goes on growing: no rings and fixed blocks
  // growth of one sequence, exact; a fraction where a compressed row has no whole share
  double state_bytes_per_token = 0;
  uint64_t scratch_bytes = 0;
  uint64_t total_bytes = 0;             // weight_bytes + state_bytes + scratch_bytes
  uint64_t decode_flops_per_token = 0;  // at the end of the context
  uint64_t decode_attention_flops = 0;  // of these, scores and value sums
  // the same work by precision: FP8 1, BF16 and F32 2, FP4 1/2 (flops.h)
  uint64_t decode_fp8_equivalent_flops = 0;
  uint64_t prefill_flops = 0;  // one sequence: every row through every block, one row of logits
  // one sequence, as run: rows nobody reads stop at the last block that writes state
  uint64_t prefill_flops_skip = 0;
  uint64_t decode_read_bytes = 0;         // one step of the whole batch at the end of the context
  uint64_t decode_read_weight_bytes = 0;  // of these, weights; experts by expectation
  uint64_t decode_read_cache_bytes = 0;   // of these, rows of cache that are looked at
  int64_t n_experts = 0;                  // of all layers
  // given: experts stay in their files but for what it holds
  std::optional<ExpertCacheLayout> expert_cache;
  uint64_t expert_bytes = 0;  // of all experts, as packed
  // that one step of the whole batch reads, as packed: with nothing held
  uint64_t expert_stream_bytes_cold = 0;
  uint64_t expert_stream_bytes = 0;    // and with the cache full, were all experts chosen alike
  std::optional<int64_t> max_context;  // the largest that fits the memory asked for; 0: none does
  std::vector<LayerPlan> layers;
};

// Contexts beyond this are refused: the sums would leave 64 bits for real models.
inline constexpr int64_t kMaxPlannedContext = int64_t{1} << 30;

Result<Plan> make_plan(const Architecture& arch, const PlanRequest& request);

}  // namespace longhaul
