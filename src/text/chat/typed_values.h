// Values that a notation writes without a type: they take the one that the function's schema gives
// the parameter.
#pragma once

#include <string_view>

#include "base/json.h"
#include "text/chat/repairs.h"

namespace longhaul {

// kJson: the notation says that the value is no string. kUnknown: it says nothing.
enum class WrittenAs { kText, kJson, kUnknown };

// Without a schema, what reads as JSON is JSON, except strings, which models write without
// quotation marks. A value that should be no string by the notation or by the schema is mended
// where it is nearly JSON; otherwise it is text.
Json typed_value(std::string_view raw, WrittenAs written_as, const Json* schema, Repairs& repairs);

}  // namespace longhaul
