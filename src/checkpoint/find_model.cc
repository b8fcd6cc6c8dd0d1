#include "checkpoint/find_model.h"

#include <filesystem>

#include "checkpoint/packed_folder.h"
#include "formats/config_override.h"
#include "formats/config_reader.h"
#include "formats/safetensors.h"
#include "models/registry.h"

namespace longhaul {

static Result<NamedConfig> find_original_config(const std::string& model) {
  std::error_code ignored;
  const std::filesystem::path path(model);
  for (const std::filesystem::path& file : {path / "config.json", path}) {
    if (!std::filesystem::is_regular_file(file, ignored)) continue;
    LH_TRY(Json config, read_json_file(file.string(), size_t{16} << 20));
    return NamedConfig{std::move(config), file.string(),
                       file == path ? file.stem().string() : folder_name(model)};
  }
  if (std::filesystem::is_directory(path, ignored)) LH_RETURN_IF_ERROR(check_has_config(model));
  LH_TRY(const Preset* preset, find_preset(model));
  return NamedConfig{preset->config, preset->name, preset->name};
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

Result<NamedConfig> find_config(const std::string& model, std::span<const std::string> overrides) {
  LH_TRY(NamedConfig found, find_original_config(model));
  LH_RETURN_IF_ERROR(override_fields(found.config, overrides));
  return found;
}

static Result<NamedModel> describe(NamedConfig found, const ConfigRequest& request) {
  LH_TRY(const std::optional<WeightFormat> packed, take_packed_format(found.config, found.where));
  LH_TRY(Architecture arch, read_as_requested(found.config, found.where, request));
  arch.name = found.name;
  return NamedModel{std::move(arch), packed ? KeptWeights{*packed, true} : KeptWeights{}};
}

Result<Architecture> find_architecture(const std::string& model, const ConfigRequest& request) {
  LH_TRY(NamedConfig found, find_config(model, request.overrides));
  LH_TRY(NamedModel described, describe(std::move(found), request));
  return std::move(described.arch);
}

Result<NamedModel> find_model(const std::string& model, const ConfigRequest& request) {
  LH_TRY(NamedConfig found, find_config(model, request.overrides));
  const bool is_loadable = has_checkpoint(model) && check_runnable(found.config, found.where).ok();
  if (!is_loadable) return describe(std::move(found), request);
  LH_TRY(ModelFolder folder, open_model_folder(model, request));
  folder.arch.name = found.name;
  return NamedModel{std::move(folder.arch), folder.weights};
}

}  // namespace longhaul
