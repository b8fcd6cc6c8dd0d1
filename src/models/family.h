// What a family offers: everything behind this is its own business.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/architecture.h"
#include "base/errors.h"
#include "base/json.h"
#include "formats/config_reader.h"
#include "mechanisms/mixers.h"
#include "models/gguf_reading.h"

namespace longhaul {

// Shapes of a checkpoint's tensors, for what a config leaves open; null where there is no such
// tensor, or no checkpoint.
using ShapeOf = std::function<const std::vector<int64_t>*(std::string_view name)>;

struct Preset {
  std::string name;
  Json config;
};

// A model_type that looks like one of the family's and is another architecture; refused with the
// reason.
struct RefusedType {
  std::string model_type, reason;
};

struct Family {
  std::vector<std::string> model_types;
  Result<Architecture> (*read)(const ConfigFile& config, const ShapeOf& shape_of);
  // The config with only so many layers (0: all) and the weights' dtype stated ("bfloat16").
  Result<Json> (*rewrite)(const ConfigFile& config, int64_t n_layers, const std::string& dtype);
  std::vector<Preset> presets;
  bool planner_only = false;  // described to be priced: nothing runs it, and rewrite is null
  std::vector<RefusedType> refused = {};
  std::vector<GgufReading> gguf = {};  // its architectures in GGUF files
};

}  // namespace longhaul
