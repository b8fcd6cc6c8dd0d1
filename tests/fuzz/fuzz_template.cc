// Any bytes as a template, over a small conversation: an error or a text, within the limits, and
// nothing else.
#include <cstddef>
#include <cstdint>
#include <string>

#include "check_error.h"
#include "text/chat/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using longhaul::Json;
  static const Json context = Json::object(
      {{"messages",
        Json(Json::Array{
            Json::object({{"role", "user"}, {"content", "h\xc3\xa9llo <b>"}}),
            Json::object({{"role", "assistant"}, {"content", nullptr}, {"n", int64_t{-7}}})})},
       {"tools", Json(Json::Array{Json::object({{"name", "f"}, {"x", 1.5}})})},
       {"add_generation_prompt", true},
       {"bos_token", "<s>"}});
  auto parsed =
      longhaul::ChatTemplate::parse(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!parsed.ok()) {
    longhaul::check_error(parsed.error());
    return 0;
  }
  longhaul::TemplateOptions options;
  options.limits.max_steps = 200'000;
  options.limits.max_output_bytes = 1 << 20;
  options.limits.max_live_bytes = 32 << 20;
  const auto text = parsed->render(context, options);
  if (!text.ok()) longhaul::check_error(text.error());
  return 0;
}
