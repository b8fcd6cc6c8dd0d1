// Messages to a prompt, by the checkpoint's own format, with the reader that its answer needs.
#include <algorithm>

#include "api/access.h"
#include "api/messages.h"
#include "api/model_parts.h"
#include "text/chat/reply_parser.h"

namespace longhaul {

ReplyReader Access::reader(std::unique_ptr<ReplyParser> parser) {
  return ReplyReader(std::move(parser));
}

ReplyReader::ReplyReader(std::unique_ptr<ReplyParser> parser) : parser_(std::move(parser)) {}
ReplyReader::ReplyReader(ReplyReader&&) noexcept = default;
ReplyReader& ReplyReader::operator=(ReplyReader&&) noexcept = default;
ReplyReader::~ReplyReader() = default;
std::vector<ReplyPart> ReplyReader::push(std::string_view text) { return parser_->push(text); }
std::vector<ReplyPart> ReplyReader::finish() { return parser_->finish(); }
const Reply& ReplyReader::reply() const { return parser_->reply(); }

namespace {

// The variables that published templates read for the thinking mode. Left undefined, each template
// does what it does by itself.
void set_thinking(Json& context, const ChatOptions& options) {
  if (options.thinking != Thinking::kDefault) {
    const bool on = options.thinking != Thinking::kOff;
    context.set("enable_thinking", on);
    context.set("thinking_mode", on ? "thinking" : "chat");
  }
  if (options.thinking == Thinking::kMax) context.set("reasoning_effort", "max");
  if (options.keep_reasoning) context.set("preserve_thinking", true);
}

Result<std::string> render_template(const ChatTemplate& chat_template, const Json& special_tokens,
                                    Json messages, const Tools& tools, const ChatOptions& options) {
  const auto mentions = [&](std::string_view name) {
    return chat_template.source().find(name) != std::string::npos;
  };
  if (!tools.empty() && !mentions("tools"))
    return unsupported(
        "the chat template has no place for tools; leave them out, or give another with "
        "--chat-template FILE");
  if (options.thinking == Thinking::kMax && !mentions("reasoning_effort")) {
    return unsupported(
        "the chat template knows no effort of reasoning, only thinking on or off; use --thinking "
        "on");
  }
  Json context = Json::object({{"messages", std::move(messages)}, {"add_generation_prompt", true}});
  set_thinking(context, options);
  if (!tools.empty()) context.set("tools", tools.wrapped());
  for (const auto& [name, token] : *special_tokens.as_object()) context.set(name, token);
  return chat_template.render(context);
}

// Tools belong to the system message; where the conversation begins without one, to an empty one
// before it.
void attach_tools(Json& messages, const Tools& tools) {
  Json::Array* list = messages.as_array();
  if (list == nullptr || tools.empty()) return;
  const Json* role = list->empty() ? nullptr : list->front().find("role");
  const bool has_system =
      role != nullptr && role->as_string() != nullptr && *role->as_string() == "system";
  if (!has_system) list->insert(list->begin(), Json::object({{"role", "system"}, {"content", ""}}));
  list->front().set("tools", tools.wrapped());
}

Result<std::string> render_dsml(const DsmlEncoder& encoder, Json messages, const Tools& tools,
                                const ChatOptions& options) {
  attach_tools(messages, tools);
  const bool thinks = options.thinking == Thinking::kOn || options.thinking == Thinking::kMax;
  return encoder.encode(messages, {.thinking = thinks,
                                   .max_effort = options.thinking == Thinking::kMax,
                                   .drop_thinking = !options.keep_reasoning});
}

}  // namespace

Result<ChatPrompt> Model::chat_prompt(std::span<const Message> messages,
                                      const ChatOptions& options) const {
  const ModelParts& m = *parts_;
  const ChatTemplate* chosen = nullptr;
  std::optional<ChatTemplate> own;
  if (options.template_source.empty()) {
    LH_TRY(chosen, m.templates.choose(/*has_tools=*/!options.tools.empty()));
  } else {
    LH_TRY(own, ChatTemplate::parse(options.template_source, "--chat-template"));
    chosen = &*own;
  }
  if (chosen == nullptr && !m.dsml) {
    return make_error(ErrorCode::kNotFound,
                      "{}: the checkpoint has no chat template; give one with --chat-template FILE",
                      m.loaded.folder);
  }
  LH_TRY(Json list, messages_json(messages));
  LH_TRY(Tools tools, tools_of(options.tools));
  std::string text;
  if (chosen != nullptr) {
    LH_TRY(text, render_template(*chosen, m.special_tokens, std::move(list), tools, options));
  } else {
    LH_TRY(text, render_dsml(*m.dsml, std::move(list), tools, options));
  }
  // A rendered prompt brings its special tokens; what the tokenizer would put around a plain text
  // would stand there twice.
  LH_TRY(std::vector<int32_t> tokens, encode(text, /*with_bos=*/false));
  const auto bos = m.defaults.bos_token_id;
  if (m.loaded.arch->requires_bos && bos && (tokens.empty() || tokens.front() != *bos))
    tokens.insert(tokens.begin(), *bos);

  const Tokenizer& tokenizer = *m.tokenizer;  // encode() has asked for it
  ReplyFormat format =
      find_reply_format(chosen == nullptr ? std::string_view() : chosen->source(), &tokenizer);
  std::vector<int32_t> visible = marker_tokens(format, tokenizer);
  const bool inside = ends_inside_reasoning(format, text);
  auto parser = std::make_unique<ReplyParser>(std::move(format), std::move(tools), inside);
  return ChatPrompt{std::move(text), std::move(tokens), std::move(visible),
                    Access::reader(std::move(parser))};
}

}  // namespace longhaul
