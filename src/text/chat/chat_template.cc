#include "text/chat/chat_template.h"

#include "text/template/interpreter.h"
#include "text/template/objects.h"
#include "text/template/parser.h"

namespace longhaul {
namespace {

std::tm local_now() {
  const std::time_t seconds = std::time(nullptr);
  std::tm out{};
  localtime_r(&seconds, &out);
  return out;
}

}  // namespace

struct ChatTemplate::Parsed {
  std::string source;
  std::string where;
  jinja::Block block;
};

static constexpr const char* kOtherTemplate = "give another template with --chat-template FILE";

Result<ChatTemplate> ChatTemplate::parse(std::string source, std::string where) {
  LH_TRY(jinja::Block block, or_remedy(jinja::parse_template(source, where), kOtherTemplate));
  return ChatTemplate(std::make_shared<const Parsed>(
      Parsed{std::move(source), std::move(where), std::move(block)}));
}

const std::string& ChatTemplate::source() const { return parsed_->source; }

Result<std::string> ChatTemplate::render(const Json& context,
                                         const TemplateOptions& options) const {
  if (!context.as_object())
    return invalid("{}: the context must be an object, not {}; give one", parsed_->where,
                   context.type_name());
  jinja::Run run(options.limits, options.now ? options.now : local_now);
  auto globals = std::make_shared<jinja::Scope>(nullptr);
  for (const auto& [name, value] : *context.as_object()) {
    auto converted = jinja::from_json(value);
    if (!converted.ok())
      return or_remedy<std::string>(
          in_context(fmt::format("{}: '{}'", parsed_->where, name), converted.take_error()),
          "leave it out");
    globals->set(name, std::move(*converted));
  }
  jinja::Interpreter interpreter(run, std::make_shared<jinja::Scope>(globals));
  auto out = interpreter.render(parsed_->block);
  if (out.ok()) return out;
  Error error = out.take_error();
  if (error.message.starts_with(jinja::kRaisedMark)) {
    error.message.erase(0, jinja::kRaisedMark.size());
    error.remedy = "the chat template asks for other messages";
    return error;
  }
  error.remedy = fmt::format("change the conversation, or {}", kOtherTemplate);
  return in_context(fmt::format("{}:{}", parsed_->where, interpreter.error_line()),
                    std::move(error));
}

}  // namespace longhaul
