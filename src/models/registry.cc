#include "models/registry.h"

#include <algorithm>
#include <array>

#include "base/printable.h"
#include "longhaul/nearest.h"
#include "models/deepseek_v32.h"
#include "models/deepseek_v4.h"
#include "models/gemma.h"
#include "models/laguna.h"
#include "models/zaya.h"

namespace longhaul {
namespace {

std::array<const Family*, 5> families() {
  return {&gemma_family(), &laguna_family(), &zaya_family(), &deepseek_v4_family(),
          &deepseek_v32_family()};
}

// Why a model_type is known and not run.
Status check_not_refused(const std::string& type, const std::string& where) {
  for (const Family* family : families()) {
    for (const RefusedType& r : family->refused) {
      if (r.model_type == type)
        return unsupported(
            "{}: model_type '{}' is not supported: {}; use a checkpoint of a supported type", where,
            type, r.reason);
    }
  }
  return {};
}

const std::string* model_type_of(const Json* config) {
  const Json* type = config == nullptr ? nullptr : config->find("model_type");
  return type == nullptr ? nullptr : type->as_string();
}

Result<const Family*> find_family(const Json& config, const std::string& where) {
  const std::string* type = model_type_of(&config);
  if (type == nullptr)
    return corrupt("{}: no 'model_type'; give the config.json of a language model", where);
  std::vector<std::string_view> known;
  for (const Family* family : families()) {
    for (std::string_view t : family->model_types) {
      if (t == *type) return family;
      known.push_back(t);
    }
  }
  LH_RETURN_IF_ERROR(check_not_refused(*type, where));
  if (const std::string* inner = model_type_of(config.find("text_config")))
    LH_RETURN_IF_ERROR(check_not_refused(*inner, where));
  return unsupported("{}: model_type '{}' is not supported; use a model of one of these: {}", where,
                     printable(*type), fmt::join(known, ", "));
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

}  // namespace

Result<Architecture> read_architecture(const ConfigFile& config, const ShapeOf& shape_of) {
  LH_TRY(const Family* family, find_family(config.json, config.where));
  LH_TRY(Architecture arch,
         or_remedy(family->read(config, shape_of),
                   "correct the file, or change a field with --set FIELD=VALUE"));
  for (size_t i = 0; i < arch.weights.size(); ++i) arch.weights[i].origin = static_cast<int32_t>(i);
  return arch;
}

Status check_runnable(const Json& config, const std::string& where) {
  LH_TRY(const Family* family, find_family(config, where));
  if (!family->planner_only) return {};
  return unsupported(
      "{}: models of type '{}' are described for the planner only; use 'plan' and 'inspect' on "
      "them",
      where, *config.find("model_type")->as_string());
}

Result<const GgufReading*> find_gguf_reading(std::string_view architecture,
                                             const std::string& where) {
  std::vector<std::string_view> known;
  for (const Family* family : families()) {
    for (const GgufReading& reading : family->gguf) {
      if (reading.architecture == architecture) return &reading;
      known.push_back(reading.architecture);
    }
  }
  return unsupported(
      "{}: general.architecture '{}' is not supported; use a file of one of these: {}", where,
      printable(architecture), fmt::join(known, ", "));
}

Result<Json> rewrite_config(const ConfigFile& config, int64_t n_layers, const std::string& dtype) {
  LH_RETURN_IF_ERROR(check_runnable(config.json, config.where));
  LH_TRY(const Family* family, find_family(config.json, config.where));
  return family->rewrite(config, n_layers, dtype);
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Family* family : families()) {
    for (const Preset& preset : family->presets) names.push_back(preset.name);
  }
  return names;
}

Result<const Preset*> find_preset(std::string_view name) {
  for (const Family* family : families()) {
    for (const Preset& preset : family->presets) {
      if (same_name(preset.name, name)) return &preset;
    }
  }
  return make_error(ErrorCode::kNotFound,
                    "'{}' is neither a folder with a config.json nor a bundled model; give a "
                    "folder, or one of {}{}",
                    printable(name), fmt::join(preset_names(), ", "),
                    did_you_mean(name, preset_names()));
}

Result<Architecture> preset(std::string_view name) {
  LH_TRY(const Preset* found, find_preset(name));
  LH_TRY(Architecture arch, read_architecture(found->config, found->name));
  arch.name = found->name;
  return arch;
}

}  // namespace longhaul
