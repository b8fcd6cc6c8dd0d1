// From what the user named to a description: a folder, a config.json, or a bundled model.
#pragma once

#include <span>
#include <string>

#include "arch/architecture.h"
#include "base/json.h"
#include "base/result.h"

namespace longhaul {

struct NamedConfig {
  Json config;
  std::string where;  // for messages
  std::string name;   // for people
};

// overrides: fields of the config to change, FIELD=VALUE (formats/config_override.h).
Result<NamedConfig> find_config(const std::string& model, std::span<const std::string> overrides);
Result<Architecture> find_architecture(const std::string& model, std::span<const std::string> overrides);

}  // namespace longhaul
