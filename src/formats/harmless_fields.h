// Fields of a config.json that no family reads and that change nothing a model computes: what
// trainers, mergers, exporters and the reference's own save_pretrained leave behind. A family lists
// what is its own; this is what any config may carry.
#pragma once

#include <string_view>

#include "base/json.h"

namespace longhaul {

// Why an unread field may be passed over, or null where it may change results.
//   key    the field's own name, without the path to it
//   value  as it stands in the config
const char* harmless_because(std::string_view key, const Json& value);

// Whether the field says that the weights are stored in a format of a quantiser's own.
bool tells_of_quantised_weights(std::string_view key);

}  // namespace longhaul
