#include "checkpoint/find_model.h"

#include <filesystem>

#include "checkpoint/packed_folder.h"
#include "checkpoint/quantisation.h"
#include "formats/config_override.h"
#include "models/registry.h"

namespace longhaul {

static Result<ModelConfig> find_original_config(const std::string& model) {
  LH_TRY(std::optional<ModelConfig> found, find_model_config(model));
  if (found) return std::move(*found);
  LH_TRY(const Preset* preset, find_preset(model));
  return ModelConfig{preset->config, preset->name, preset->name};
}

Status refuse_bundled_name(const std::string& model) {
  std::error_code ignored;
  if (std::filesystem::exists(model, ignored)) return {};
  const auto preset = find_preset(model);
  if (!preset.ok()) return {};
  LH_RETURN_IF_ERROR(check_runnable((*preset)->config, (*preset)->name));
  return invalid(
      "'{}' is bundled as a description without weights; give a checkpoint's folder, or make a "
      "random one with 'synth'",
      model);
}

Result<ModelConfig> find_config(const std::string& model, std::span<const std::string> overrides) {
  LH_TRY(ModelConfig found, find_original_config(model));
  LH_RETURN_IF_ERROR(override_fields(found.config, overrides));
  return found;
}

static Result<NamedModel> describe(ModelConfig found, const ConfigRequest& request) {
  if (!request.lora.empty())
    return invalid(
        "{}: has no weights that an adapter could be merged into; give a checkpoint with --lora",
        found.where);
  LH_TRY(const std::optional<WeightFormat> packed, take_packed_format(found.config, found.where));
  LH_RETURN_IF_ERROR(take_quantisation(found.config, found.where));
  LH_TRY(Architecture arch, read_as_requested(found.config, found.where, request));
  arch.name = found.name;
  return NamedModel{std::move(arch), packed ? FormatChoice{*packed, true} : FormatChoice{}};
}

Result<Architecture> find_architecture(const std::string& model, const ConfigRequest& request) {
  LH_TRY(ModelConfig found, find_config(model, request.overrides));
  LH_TRY(NamedModel described, describe(std::move(found), request));
  return std::move(described.arch);
}

Result<NamedModel> find_model(const std::string& model, const ConfigRequest& request) {
  LH_TRY(ModelConfig found, find_config(model, request.overrides));
  const bool is_loadable = has_weights(model) && check_runnable(found.config, found.where).ok();
  if (!is_loadable) return describe(std::move(found), request);
  LH_TRY(OpenedModel opened, open_model(model, request));
  opened.arch.name = found.name;
  return NamedModel{std::move(opened.arch), opened.weights->formats()};
}

}  // namespace longhaul
