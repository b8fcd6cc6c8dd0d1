// From what the user named to a description: a folder, a config.json, or a bundled model.
#pragma once

#include <string>

#include "arch/architecture.h"
#include "base/json.h"
#include "base/result.h"

namespace longhaul {

Result<Json> find_config(const std::string& model, std::string* where);
Result<Architecture> describe(const std::string& model);

}  // namespace longhaul
