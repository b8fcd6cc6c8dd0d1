#include "checkpoint/open_model.h"

#include "checkpoint/match_tensors.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/shared_tensors.h"
#include "formats/config_override.h"
#include "models/registry.h"

namespace longhaul {

Result<OpenedModel> open_model(const std::string& path, const ConfigRequest& request) {
  OpenedModel m;
  LH_TRY(m.files, open_model_files(path));
  const std::string& where = m.files->config().where;
  m.config = m.files->config().config;
  LH_RETURN_IF_ERROR(override_fields(m.config, request.overrides));
  LH_RETURN_IF_ERROR(check_runnable(m.config, where));
  LH_TRY(const std::optional<WeightFormat> packed, take_packed_format(m.config, where));
  LH_TRY(TensorSource tensors, m.files->open_tensors());
  if (packed) LH_RETURN_IF_ERROR(restore_blocks(tensors));
  const auto origins =
      packed ? packed_origins(tensors) : std::map<std::string, std::vector<int64_t>, std::less<>>();
  const ShapeOf shape_of = [&](std::string_view name) {
    if (const auto it = origins.find(name); it != origins.end()) return &it->second;
    const TensorInfo* t = tensors.find(name);
    return t == nullptr ? nullptr : &t->shape;
  };
  LH_TRY(m.arch, read_as_requested(m.config, where, request, shape_of));
  if (m.arch.name.empty()) m.arch.name = m.files->config().name;
  settle_shared_tensors(m.arch, tensors, packed);
  LH_TRY(m.weights, match_weights(m.arch, std::move(tensors), packed));
  return m;
}

}  // namespace longhaul
