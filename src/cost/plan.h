// What a context costs, from the description alone: bytes of weights, state and scratch, FLOPs,
// bytes read a token. Every figure comes from the formulas that the executor, the loader and the
// sequences allocate and count by.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "base/errors.h"
#include "longhaul/planner.h"
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

// Contexts beyond this are refused: the sums would leave 64 bits for real models.
inline constexpr int64_t kMaxPlannedContext = int64_t{1} << 30;

Result<Plan> make_plan(const Architecture& arch, const PlanRequest& request);
// Sets the plan beside the shipped model's, where it is that of an edited one, or beside those of
// all edits that apply (Plan::shipped, Plan::edits).
void price_what_ifs(const Architecture& arch, const PlanRequest& request, Plan& plan);

}  // namespace longhaul
