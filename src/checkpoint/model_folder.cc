#include "checkpoint/model_folder.h"

#include <filesystem>

#include "checkpoint/compute_dtype.h"
#include "checkpoint/match_tensors.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/shared_tensors.h"
#include "formats/config_override.h"
#include "formats/config_reader.h"
#include "formats/safetensors.h"
#include "formats/weight_files.h"
#include "models/registry.h"

namespace longhaul {

Result<WeightFormat> KeptWeights::choose(const std::string& option,
                                         const std::string& where) const {
  if (option == "auto") return natural;
  LH_TRY(const WeightFormat format, weight_format(option));
  if (!is_packed || format == natural) return format;
  return invalid(
      "{}: its weights are packed as {}; --weights {} needs the checkpoint that they were made "
      "from",
      where, option_name(natural), option);
}

namespace {

namespace fs = std::filesystem;

// What to give instead of a path that is no model's folder.
std::string remedy_without_config(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored))
    return "there is no such folder; give one with config.json and *.safetensors";
  if (!fs::is_directory(folder, ignored))
    return fmt::format("'{}' is a file; give the folder that it is in", folder.string());
  // models--owner--name of a Hugging Face cache: each snapshot is a model's folder.
  for (fs::directory_iterator it(folder / "snapshots", ignored), end; !ignored && it != end;
       it.increment(ignored)) {
    if (fs::exists(it->path() / "config.json", ignored))
      return fmt::format("give its snapshot, {}", it->path().string());
  }
  const WeightFiles files = list_weight_files(folder.string());
  if (files.empty() && !(files.adapters.empty() && files.foreign.empty()))
    return explain_no_weights(files);
  return "download the model's config.json into the folder";
}

}  // namespace

std::string folder_name(const std::string& folder) {
  std::error_code ignored;
  const fs::path path = fs::absolute(folder, ignored).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

Status check_has_config(const std::string& folder) {
  std::error_code ignored;
  if (fs::exists(fs::path(folder) / "config.json", ignored)) return {};
  return make_error(ErrorCode::kNotFound, "{}/config.json: not there; {}", folder,
                    remedy_without_config(folder));
}

Result<ModelFolder> open_model_folder(const std::string& folder, const ConfigRequest& request) {
  constexpr size_t kMaxConfigBytes = size_t{16} << 20;
  const std::string where = folder + "/config.json";
  ModelFolder m;
  LH_RETURN_IF_ERROR(check_has_config(folder));
  LH_TRY(m.config, read_json_file(where, kMaxConfigBytes));
  LH_RETURN_IF_ERROR(override_fields(m.config, request.overrides));
  LH_RETURN_IF_ERROR(check_runnable(m.config, where));
  LH_TRY(const std::optional<WeightFormat> packed, take_packed_format(m.config, where));
  LH_TRY(m.source, open_checkpoint(folder));
  const auto origins = packed ? packed_origins(m.source)
                              : std::map<std::string, std::vector<int64_t>, std::less<>>();
  const ShapeOf shape_of = [&](std::string_view name) {
    if (const auto it = origins.find(name); it != origins.end()) return &it->second;
    const TensorInfo* t = m.source.find(name);
    return t == nullptr ? nullptr : &t->shape;
  };
  LH_TRY(m.arch, read_as_requested(m.config, where, request, shape_of));
  if (m.arch.name.empty()) m.arch.name = folder_name(folder);
  settle_shared_tensors(m.arch, m.source, packed);
  LH_TRY(const WeightFormat natural, note_stored_types(m.arch, m.source, packed));
  m.weights = {natural, packed.has_value()};
  return m;
}

}  // namespace longhaul
