// The families: config.json to Architecture. Adding one adds a row.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/family.h"

namespace longhaul {

// The description of the model that a config.json describes. An unknown model_type is an error that
// lists the known ones; one that a family refuses says why. shape_of tells what the checkpoint's
// tensors look like, where there is one.
Result<Architecture> read_architecture(const ConfigFile& config, const ShapeOf& shape_of = {});
inline Result<Architecture> read_architecture(const Json& config, const std::string& where) {
  return read_architecture(ConfigFile{config, where});
}

// An error where the config's model is described for the planner only. Whatever makes or loads
// weights asks this first.
Status check_runnable(const Json& config, const std::string& where);

// How the models of a GGUF file's architecture are read; one that is not known is an error that
// lists the known ones.
Result<const GgufReading*> find_gguf_reading(std::string_view architecture,
                                             const std::string& where);

// Published models by name (config facts, no weights).
std::vector<std::string> preset_names();
Result<const Preset*> find_preset(std::string_view name);
Result<Architecture> preset(std::string_view name);
// The config with only so many layers (0: all) and the weights' dtype stated, as synth writes it.
Result<Json> rewrite_config(const ConfigFile& config, int64_t n_layers, const std::string& dtype);

}  // namespace longhaul
