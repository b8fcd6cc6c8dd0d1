// Plans, comparisons and descriptions by model name: no weights are read.
#include "longhaul/planner.h"

#include "api/plan_request.h"
#include "api/precision.h"
#include "base/notice.h"
#include "checkpoint/find_model.h"
#include "cost/comparison.h"
#include "cost/inspect.h"
#include "cost/plan.h"
#include "cost/report.h"
#include "mechanisms/what_if.h"
#include "models/registry.h"

namespace longhaul {

Result<Plan> plan(const std::string& model, const PlanOptions& options) {
  const NoticeScope notices(options.on_notice);
  LH_TRY(const NamedModel named, find_model(model, config_request(options.config)));
  LH_TRY(const PlanRequest request, plan_request(named, model, options));
  LH_TRY(Plan result, make_plan(named.arch, request));
  price_what_ifs(named.arch, request, result);
  return result;
}

Result<Comparison> compare(const std::string& model, const std::string& against,
                           const PlanOptions& options) {
  const NoticeScope notices(options.on_notice);
  LH_TRY(const NamedModel named, find_model(model, config_request(options.config)));
  LH_TRY(const PlanRequest request, plan_request(named, model, options));
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
