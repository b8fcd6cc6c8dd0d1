// Plans, comparisons and descriptions by model name: no weights are read.
#include <algorithm>

#include "api/precision.h"
#include "base/notice.h"
#include "base/system.h"
#include "base/thread_pool.h"
#include "checkpoint/find_model.h"
#include "cost/comparison.h"
#include "cost/inspect.h"
#include "cost/plan.h"
#include "cost/report.h"
#include "longhaul/planner.h"
#include "mechanisms/what_if.h"
#include "models/registry.h"

namespace longhaul {
namespace {

Result<PlanRequest> request_of(const NamedModel& named, const std::string& model,
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

}  // namespace

Result<Plan> plan(const std::string& model, const PlanOptions& options) {
  const NoticeScope notices(options.on_notice);
  LH_TRY(const NamedModel named, find_model(model, config_request(options.config)));
  LH_TRY(const PlanRequest request, request_of(named, model, options));
  LH_TRY(Plan result, make_plan(named.arch, request));
  price_what_ifs(named.arch, request, result);
  return result;
}

Result<Comparison> compare(const std::string& model, const std::string& against,
                           const PlanOptions& options) {
  const NoticeScope notices(options.on_notice);
  LH_TRY(const NamedModel named, find_model(model, config_request(options.config)));
  LH_TRY(const PlanRequest request, request_of(named, model, options));
  LH_TRY(const NamedModel other,
         find_model(against, {.ignore_unknown_fields = options.config.ignore_unknown_fields}));
  LH_TRY(const WeightFormat other_weights,
         other.formats.choose(to_string(options.weights), against));
  return compare(named.arch, other.arch, request, with_inputs(other_weights, options.inputs));
}

Result<Inspection> inspect(const std::string& model, const InspectOptions& options) {
  const NoticeScope notices(options.on_notice);
  // Files may say more than the config, such as a head of its own; where they do not fit it, they
  // are not asked.
  const ConfigRequest request = config_request(options.config);
  auto found = find_model(model, request);
  Result<Architecture> described =
      found.ok() ? std::move(found->arch) : find_architecture(model, request);
  LH_TRY(const Architecture arch, std::move(described));
  if (!found.ok()) notice("{}: described by its config alone, which its weights do not fit", model);
  return inspect(arch);
}

std::string to_text(const Plan& plan) { return plan_report(plan); }
std::string to_json(const Plan& plan) { return plan_json(plan).dump(2); }
std::string to_text(const Comparison& comparison) { return comparison_report(comparison); }
std::string to_json(const Comparison& comparison) { return comparison_json(comparison).dump(2); }

std::string to_text(const Inspection& inspection) { return inspect_report(inspection); }
std::string to_json(const Inspection& inspection) { return inspect_json(inspection).dump(2); }

std::vector<std::string> bundled_model_names() { return preset_names(); }

std::vector<std::string> what_if_edits() {
  std::vector<std::string> names;
  for (const char* name : what_if_names()) names.emplace_back(name);
  return names;
}

}  // namespace longhaul
