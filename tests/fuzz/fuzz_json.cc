// JSON to a value and back: what we write, we read again as the same text.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "check_error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const auto value = parse_json({reinterpret_cast<const char*>(data), size}, "input");
  if (!value.ok()) {
    check_error(value.error());
    return 0;
  }
  const std::string text = value->dump();
  const auto again = parse_json(text, "our own");
  LH_CHECK(again.ok() && again->dump() == text);
  return 0;
}
