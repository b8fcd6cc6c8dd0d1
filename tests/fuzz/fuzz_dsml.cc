// Any bytes as messages for the DSML encoder, and as the Python file that its fixed texts come
// from.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/utf8.h"
#include "check_error.h"
#include "text/chat/dsml.h"
#include "text/chat/dsml_encoder.h"
#include "text/chat/python_strings.h"

namespace {

using namespace longhaul;

const DsmlEncoder& encoder() {
  static const DsmlEncoder kEncoder(
      DsmlProse::parse("REASONING_EFFORT_MAX = 'max'\nTOOLS_TEMPLATE = "
                       "'{dsml_token}{tool_schemas}'\nresponse_format_template = '{schema}'\n",
                       "prose"));
  return kEncoder;
}

void encode(std::string_view text) {
  const auto messages = parse_json(text, "input");
  if (!messages.ok()) return;
  for (const bool thinking : {false, true}) {
    for (const bool drop : {false, true}) {
      const auto prompt = encoder().encode(
          *messages, {.thinking = thinking, .max_effort = true, .drop_thinking = drop});
      if (prompt.ok()) {
        LH_CHECK(prompt->starts_with(dsml::kBos) && !find_invalid_utf8(*prompt));
      } else {
        check_error(prompt.error());
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  encode(text);
  const auto prose = DsmlProse::parse(text, "input");
  if (!prose.ok()) check_error(prose.error());
  const auto constant = python_string_constant(text, "N", "input");
  if (constant.ok()) {
    LH_CHECK(!find_invalid_utf8(*constant) && constant->size() <= text.size());
    (void)FormatText::parse(*constant, {"a"}, {"b"}, "input");
  }
  return 0;
}
