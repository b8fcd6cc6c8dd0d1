// Plans and descriptions by model name: no weights are read.
#include "base/notice.h"
#include "base/system.h"
#include "base/thread_pool.h"
#include "checkpoint/compute_dtype.h"
#include "checkpoint/find_model.h"
#include "cost/comparison.h"
#include "cost/inspect.h"
#include "cost/plan.h"
#include "cost/report.h"
#include "longhaul/tools.h"
#include "mechanisms/what_if.h"
#include "models/registry.h"

namespace longhaul {

Result<Report> plan_model(const std::string& model, const PlanOptions& options) {
  LH_TRY(const NamedModel named, find_model(model, config_request(options)));
  const Architecture& arch = named.arch;
  PlanRequest request;
  if (options.context < 0 || options.batch < 1 || options.chunk < 1)
    return invalid("--context, --batch and --chunk must be at least 1");
  request.context = options.context > 0 ? options.context : arch.max_positions;
  request.batch = options.batch;
  LH_TRY(request.weights, named.formats.choose(options.weights, model));
  LH_TRY(request.kv, state_format(options.kv));
  request.chunk = std::min(options.chunk, request.context);
  request.logit_rows = options.batch;
  request.n_threads = options.threads > 0 ? options.threads : default_thread_count();
  request.memory = options.memory > 0 ? options.memory : available_memory_bytes();
  request.expert_cache = options.expert_cache;
  request.what_if = options.what_if;
  if (!options.against.empty()) {
    LH_TRY(const NamedModel other,
           find_model(options.against, {.ignore_unknown_fields = options.ignore_unknown_fields}));
    LH_TRY(const WeightFormat other_weights,
           other.formats.choose(options.weights, options.against));
    LH_TRY(const Comparison comparison, compare(arch, other.arch, request, other_weights));
    return Report{comparison_report(comparison), comparison_json(comparison).dump(2)};
  }
  LH_TRY(const Plan plan, make_plan(arch, request));
  return Report{plan_report(arch, plan, request), plan_json(plan).dump(2)};
}

Result<Report> inspect_model(const std::string& model, const InspectOptions& options) {
  // Files may say more than the config, such as a head of its own; where they do not fit it, they
  // are not asked.
  auto found = find_model(model, config_request(options));
  Result<Architecture> described =
      found.ok() ? std::move(found->arch) : find_architecture(model, config_request(options));
  LH_TRY(const Architecture arch, std::move(described));
  if (!found.ok()) notice("{}: described by its config alone, which its weights do not fit", model);
  return Report{inspect_report(arch), inspect_json(arch).dump(2)};
}

std::vector<std::string> bundled_model_names() { return preset_names(); }

std::vector<std::string> what_if_edits() {
  std::vector<std::string> names;
  for (const char* name : what_if_names()) names.emplace_back(name);
  return names;
}

}  // namespace longhaul
