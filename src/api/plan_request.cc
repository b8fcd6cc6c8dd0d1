#include "api/plan_request.h"

#include <algorithm>

#include "api/precision.h"
#include "base/system.h"
#include "base/thread_pool.h"

namespace longhaul {

Result<PlanRequest> plan_request(const NamedModel& named, const std::string& model,
                                 const PlanOptions& options) {
  PlanRequest request;
  if (options.context < 0 || options.batch < 1 || options.max_batch_tokens < 1)
    return invalid("--context, --batch and --chunk must be at least 1");
  request.context = options.context > 0 ? options.context : named.arch.max_positions;
  request.batch = options.batch;
  LH_TRY(const WeightFormat weights, named.formats.choose(to_string(options.weights), model));
  request.weights = with_inputs(weights, options.inputs);
  request.kv = state_format_of(options.kv);
  request.chunk = std::min(options.max_batch_tokens, request.context);
  request.logit_rows = options.batch;
  request.n_threads = options.threads > 0 ? options.threads : default_thread_count();
  request.memory = options.memory > 0 ? options.memory : available_memory_bytes();
  request.expert_cache = options.expert_cache;
  request.what_if = options.what_if;
  return request;
}

}  // namespace longhaul
