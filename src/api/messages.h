// Public messages and tools as the JSON that templates and encoders are given.
#pragma once

#include <span>

#include "base/json.h"
#include "longhaul/chat.h"
#include "text/chat/tool_list.h"

namespace longhaul {

// An array of objects as in OpenAI's API; "arguments" of a call is an object. kCorruptFile where
// arguments are none.
Result<Json> messages_json(std::span<const Message> messages);
Result<Tools> tools_of(std::span<const Tool> tools);

}  // namespace longhaul
