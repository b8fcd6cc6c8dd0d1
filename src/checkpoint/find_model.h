// From what the user named to a description: a folder, a config.json, or a bundled model.
#pragma once

#include <span>
#include <string>

#include "arch/architecture.h"
#include "base/errors.h"
#include "checkpoint/open_model.h"

namespace longhaul {

// Where weights are wanted: an error for the name of a bundled model, which has none. Whether there
// is a checkpoint is for whoever opens it to say.
Status refuse_bundled_name(const std::string& model);
// overrides: fields of the config to change, FIELD=VALUE (formats/config_override.h).
Result<ModelConfig> find_config(const std::string& model, std::span<const std::string> overrides);
// By its config alone.
Result<Architecture> find_architecture(const std::string& model, const ConfigRequest& request);

struct NamedModel {
  Architecture arch;
  FormatChoice formats;
};
// To be priced: of a folder that holds a checkpoint, as loading reads it; else by the config alone,
// which tells of packed weights that they are, and bf16 is natural.
Result<NamedModel> find_model(const std::string& model, const ConfigRequest& request);

}  // namespace longhaul
