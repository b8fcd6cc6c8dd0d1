#include "engine/model_folder.h"

#include <filesystem>

#include "engine/compute_dtype.h"
#include "engine/match_tensors.h"
#include "engine/packed_folder.h"
#include "formats/config_override.h"
#include "formats/config_reader.h"
#include "formats/safetensors.h"
#include "models/registry.h"

namespace longhaul {

Result<WeightFormat> KeptWeights::choose(const std::string& option, const std::string& where) const {
  if (option == "auto") return natural;
  LH_TRY(const WeightFormat format, weight_format(option));
  if (!is_packed || format == natural) return format;
  return invalid("{}: its weights are packed as {}; --weights {} needs the checkpoint that they were made from", where,
                 option_name(natural), option);
}

Result<ModelFolder> open_model_folder(const std::string& folder, const ConfigRequest& request) {
  constexpr size_t kMaxConfigBytes = size_t{16} << 20;
  const std::string where = folder + "/config.json";
  ModelFolder m;
  LH_TRY(m.config, read_json_file(where, kMaxConfigBytes));
  LH_RETURN_IF_ERROR(override_fields(m.config, request.overrides));
  LH_RETURN_IF_ERROR(check_runnable(m.config, where));
  LH_TRY(const std::optional<WeightFormat> packed, take_packed_format(m.config, where));
  LH_TRY(m.source, open_checkpoint(folder));
  const auto origins = packed ? packed_origins(m.source) : std::map<std::string, std::vector<int64_t>, std::less<>>();
  const ShapeOf shape_of = [&](std::string_view name) {
    if (const auto it = origins.find(name); it != origins.end()) return &it->second;
    const TensorInfo* t = m.source.find(name);
    return t == nullptr ? nullptr : &t->shape;
  };
  LH_TRY(m.arch, read_as_requested(m.config, where, request, shape_of));
  if (m.arch.name.empty()) m.arch.name = std::filesystem::path(folder).filename().string();
  LH_TRY(const WeightFormat natural, note_stored_types(m.arch, m.source, packed));
  m.weights = {natural, packed.has_value()};
  return m;
}

}  // namespace longhaul
