#include "engine/find_model.h"

#include <filesystem>

#include "formats/config_override.h"
#include "formats/config_reader.h"
#include "models/registry.h"

namespace longhaul {

static Result<NamedConfig> find_original_config(const std::string& model) {
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

Result<NamedConfig> find_config(const std::string& model, std::span<const std::string> overrides) {
  LH_TRY(NamedConfig found, find_original_config(model));
  LH_RETURN_IF_ERROR(override_fields(found.config, overrides));
  return found;
}

Result<Architecture> find_architecture(const std::string& model, std::span<const std::string> overrides) {
  LH_TRY(const NamedConfig found, find_config(model, overrides));
  LH_TRY(Architecture arch, read_architecture(found.config, found.where));
  arch.name = found.name;
  return arch;
}

}  // namespace longhaul
