// Fields of a config.json changed before anyone reads them.
#pragma once

#include <span>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace longhaul {

// Each assignment is FIELD=VALUE: a dotted path and a JSON value, "rope_parameters.full_attention.attention_factor=1.2". null takes a field away,
// later assignments go over earlier ones. The objects on the way must be there; a new field in them is for its reader to know or refuse.
Status override_fields(Json& config, std::span<const std::string> assignments);

}  // namespace longhaul
