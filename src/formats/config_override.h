// Fields of a config.json changed before anyone reads them.
#pragma once

#include <span>
#include <string>

#include "base/errors.h"
#include "base/json.h"

namespace longhaul {

// Each assignment is FIELD=VALUE: a dotted path and a JSON value,
// "rope_parameters.full_attention.factor=2". null takes the field away, also one that is not there;
// later assignments go over earlier ones. The objects on the way to a new value must be there; a
// new field in them is for its reader to know or refuse. A field whose own name has dots
// ("transformers.js_config") goes before a path. Leaves `config` changed in part where a later
// assignment fails.
Status override_fields(Json& config, std::span<const std::string> assignments);

}  // namespace longhaul
