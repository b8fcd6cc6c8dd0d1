#include "checkpoint/open_model.h"

#include "checkpoint/adapter.h"
#include "checkpoint/coded_tensors.h"
#include "checkpoint/match_tensors.h"
#include "checkpoint/packed_folder.h"
#include "checkpoint/quantisation.h"
#include "checkpoint/shared_tensors.h"
#include "formats/config_override.h"
#include "models/registry.h"

namespace longhaul {
namespace {

// Takes what is said of quantised tensors out of the config, or finds it beside the config. In a
// packed folder it is said of those that are packed nowhere.
Result<std::optional<Quantisation>> find_quantisation(const ModelFiles& files, Json& config,
                                                      Json of_packed, bool is_packed) {
  const std::string& where = files.config().where;
  if (is_packed) return take_quantisation(of_packed, where);
  LH_TRY(std::optional<Quantisation> found, take_quantisation(config, where));
  const Json* of_others = config.find("quantization_config");
  if (found || (of_others != nullptr && !of_others->is_null())) return found;
  LH_TRY(const Json beside, files.read_json(TextKind::kQuantisation));
  if (beside.is_null()) return found;
  LH_TRY(found, read_modelopt_file(beside, files.where(TextKind::kQuantisation)));
  return found;
}

}  // namespace

Result<OpenedModel> open_model(const std::string& path, const ConfigRequest& request) {
  OpenedModel m;
  LH_TRY(m.files, open_model_files(path));
  const std::string& where = m.files->config().where;
  m.config = m.files->config().config;
  LH_RETURN_IF_ERROR(override_fields(m.config, request.overrides));
  LH_RETURN_IF_ERROR(check_runnable(m.config, where));
  const Json of_packed = packed_quantisation(m.config);
  LH_TRY(const std::optional<WeightFormat> packed, take_packed_format(m.config, where));
  LH_TRY(const std::optional<Quantisation> quantisation,
         find_quantisation(*m.files, m.config, of_packed, packed.has_value()));
  LH_TRY(TensorSource tensors, m.files->open_tensors());
  if (quantisation) {
    LH_RETURN_IF_ERROR(join_coded_tensors(tensors, *quantisation, where));
    m.quantisation = quantisation->source;
  }
  if (packed) LH_RETURN_IF_ERROR(restore_blocks(tensors));
  if (!request.lora.empty()) {
    if (packed)
      return invalid(
          "{}: its weights are packed, and an adapter is merged before that; quantize the original "
          "checkpoint with --lora",
          path);
    LH_TRY(m.adapter, merge_adapter(tensors, request.lora));
  }
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
