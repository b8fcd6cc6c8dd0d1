// Any bytes as a conversation and as a list of tools: what is read can be written, and is then the
// same.
#include <cstdint>
#include <string_view>

#include "api/messages.h"
#include "check_error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto messages = parse_messages(text, "input");
  if (messages.ok()) {
    const std::string json = to_json(*messages);
    const auto again = parse_messages(json, "again");
    LH_CHECK(again.ok() && to_json(*again) == json);
    const auto given = messages_json(*messages);
    if (!given.ok()) check_error(given.error());
  } else {
    check_error(messages.error());
  }
  const auto tools = parse_tools(text, "input");
  if (!tools.ok()) {
    check_error(tools.error());
  } else {
    LH_CHECK(tools_of(*tools).ok());
  }
  return 0;
}
