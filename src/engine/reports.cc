// Plans and descriptions by model name: no weights are read.
#include <filesystem>

#include "base/system.h"
#include "base/thread_pool.h"
#include "cost/inspect.h"
#include "cost/plan.h"
#include "cost/report.h"
#include "cost/what_if.h"
#include "engine/describe.h"
#include "formats/config_reader.h"
#include "longhaul/tools.h"
#include "models/registry.h"

namespace longhaul {

Result<NamedConfig> find_config(const std::string& model) {
  std::error_code ignored;
  const std::filesystem::path path(model);
  for (const std::filesystem::path& file : {path / "config.json", path}) {
    if (!std::filesystem::is_regular_file(file, ignored)) continue;
    LH_TRY(Json config, read_json_file(file.string(), size_t{16} << 20));
    const std::filesystem::path folder = std::filesystem::absolute(file == path ? file.stem() : path, ignored);
    return NamedConfig{std::move(config), file.string(),
                       folder.filename().empty() ? folder.parent_path().filename().string() : folder.filename().string()};
  }
  LH_TRY(const Preset* preset, find_preset(model));
  return NamedConfig{preset->config, preset->name, preset->name};
}

Result<Architecture> describe(const std::string& model) {
  LH_TRY(const NamedConfig found, find_config(model));
  LH_TRY(Architecture arch, read_architecture(found.config, found.where));
  arch.name = found.name;
  return arch;
}

static Result<DType> dtype_option(const std::string& name, const char* flag) {
  const auto dtype = dtype_from_option(name);
  if (!dtype || *dtype == DType::kF16) return invalid("{} '{}' is not known here; use f32 or bf16", flag, name);
  return *dtype;
}

Result<Report> plan_model(const std::string& model, const PlanOptions& options) {
  LH_TRY(const Architecture arch, describe(model));
  PlanRequest request;
  if (options.context < 0 || options.batch < 1 || options.chunk < 1) return invalid("--context, --batch and --chunk must be positive");
  request.context = options.context > 0 ? options.context : arch.max_positions;
  request.batch = options.batch;
  LH_TRY(request.weights, dtype_option(options.weights, "--weights"));
  LH_TRY(request.kv, dtype_option(options.kv, "--kv"));
  request.chunk = std::min(options.chunk, request.context);
  request.logit_rows = options.batch;
  request.n_threads = options.threads > 0 ? options.threads : default_thread_count();
  request.memory = options.memory > 0 ? options.memory : available_memory_bytes();
  request.what_if = options.what_if;
  LH_TRY(const Plan plan, make_plan(arch, request));
  return Report{plan_report(arch, plan, request), plan_json(plan).dump(2)};
}

Result<Report> inspect_model(const std::string& model) {
  LH_TRY(const Architecture arch, describe(model));
  return Report{inspect_report(arch), inspect_json(arch).dump(2)};
}

std::vector<std::string> bundled_model_names() { return preset_names(); }

std::vector<std::string> what_if_edits() {
  std::vector<std::string> names;
  for (const char* name : what_if_names()) names.emplace_back(name);
  return names;
}

}  // namespace longhaul
