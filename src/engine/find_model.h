// From what the user named to a description: a folder, a config.json, or a bundled model.
#pragma once

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

Result<NamedConfig> find_config(const std::string& model);
Result<Architecture> find_architecture(const std::string& model);

}  // namespace longhaul
