#include "text/chat/dsml_encoder.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/printable.h"
#include "text/chat/dsml.h"
#include "text/chat/python_json.h"
#include "text/chat/tool_list.h"

namespace longhaul {
namespace {

using namespace dsml;

// --- reading messages

std::string_view text_or_empty(const Json* json) {
  return json != nullptr && json->as_string() != nullptr ? std::string_view(*json->as_string())
                                                         : std::string_view();
}

std::string_view role_of(const Json& message) { return text_or_empty(message.find("role")); }

// Python's idea of a value that says something.
bool says_something(const Json* json) {
  if (json == nullptr || json->is_null()) return false;
  if (const bool* b = json->as_bool()) return *b;
  if (json->is_number()) return json->number() != 0;
  if (const std::string* s = json->as_string()) return !s->empty();
  return json->as_array() != nullptr ? !json->as_array()->empty() : !json->as_object()->empty();
}

// Text, or the texts of a list of parts with a blank line between them.
Result<std::string> content_text(const Json* content, std::string_view where) {
  if (content == nullptr || content->is_null()) return std::string();
  if (content->as_string() != nullptr) return *content->as_string();
  if (content->as_array() == nullptr)
    return invalid("{}.content: must be text or a list of parts, not {}", where,
                   content->type_name());
  std::string out;
  for (const Json& part : *content->as_array()) {
    const std::string_view type = text_or_empty(part.find("type"));
    if (&part != content->as_array()->data()) out += "\n\n";
    if (type == "text") {
      out += text_or_empty(part.find("text"));
    } else {
      out += fmt::format("[Unsupported {}]", type);
    }
  }
  return out;
}

Status check_shape(const Json& messages) {
  if (messages.as_array() == nullptr)
    return invalid("messages: must be an array, not {}", messages.type_name());
  for (size_t i = 0; i < messages.as_array()->size(); ++i) {
    const Json& message = (*messages.as_array())[i];
    if (message.as_object() == nullptr)
      return invalid("messages[{}]: must be an object, not {}", i, message.type_name());
    static constexpr std::string_view kRoles[] = {"system", "user",      "assistant",
                                                  "tool",   "developer", "latest_reminder"};
    if (std::find(std::begin(kRoles), std::end(kRoles), role_of(message)) == std::end(kRoles)) {
      return invalid(
          "messages[{}].role: '{}' is none of system, user, assistant, tool, developer, "
          "latest_reminder",
          i, printable(role_of(message), 40));
    }
  }
  return {};
}

// --- tool results become parts of user turns

// One turn of the conversation: a message, or a user's turn made of several.
struct Turn {
  const Json* message = nullptr;  // null where a turn begins with a tool's result
  struct Block {
    std::string text;
    std::string call_id;
    bool is_result = false;
  };
  std::vector<Block> blocks;  // of a user's turn

  bool is(std::string_view role) const {
    return message == nullptr ? role == "user" : role_of(*message) == role;
  }
  bool is_user() const { return is("user") || is("developer"); }
  const Json* find(std::string_view key) const {
    return message == nullptr ? nullptr : message->find(key);
  }
  const Json* task() const {
    const Json* task = find("task");
    return task == nullptr || task->is_null() ? nullptr : task;
  }
};

Result<std::vector<Turn>> merge_tool_results(const Json::Array& messages) {
  std::vector<Turn> turns;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    const bool is_result = role_of(message) == "tool";
    if (!is_result && role_of(message) != "user") {
      turns.push_back({&message, {}});
      continue;
    }
    LH_TRY(std::string text, content_text(message.find("content"), fmt::format("messages[{}]", i)));
    if (is_result) text = "<tool_result>" + text + "</tool_result>";
    Turn::Block block{std::move(text), std::string(text_or_empty(message.find("tool_call_id"))),
                      is_result};
    const bool joins =
        !turns.empty() && turns.back().is("user") && (is_result || turns.back().task() == nullptr);
    if (!joins) turns.push_back({is_result ? nullptr : &message, {}});
    turns.back().blocks.push_back(std::move(block));
  }
  return turns;
}

std::map<std::string, size_t, std::less<>> call_order(const Json& tool_calls) {
  std::map<std::string, size_t, std::less<>> order;
  const Json::Array* calls = tool_calls.as_array();
  for (size_t i = 0; calls != nullptr && i < calls->size(); ++i) {
    const Json& call = (*calls)[i];
    std::string_view id = text_or_empty(call.find("id"));
    const Json* function = call.find("function");
    if (id.empty() && function != nullptr) id = text_or_empty(function->find("id"));
    if (!id.empty()) order.insert_or_assign(std::string(id), i);
  }
  return order;
}

// Results stand in the order of the calls they answer; texts keep their places. A result of no
// known call counts as the first's.
void sort_tool_results(std::vector<Turn>& turns) {
  std::map<std::string, size_t, std::less<>> order;
  for (Turn& turn : turns) {
    if (turn.is("assistant")) {
      if (const Json* calls = turn.find("tool_calls"); says_something(calls))
        order = call_order(*calls);
      continue;
    }
    std::vector<Turn::Block> results;
    for (const auto& block : turn.blocks) {
      if (block.is_result) results.push_back(block);
    }
    const auto rank = [&](const Turn::Block& block) {
      const auto found = order.find(block.call_id);
      return found == order.end() ? 0 : found->second;
    };
    std::stable_sort(results.begin(), results.end(),
                     [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    auto next = results.begin();
    for (auto& block : turn.blocks) {
      if (block.is_result) block = std::move(*next++);
    }
  }
}

// --- rendering

Result<std::string> dsml_arguments(const Json& call_function) {
  const Json* arguments = call_function.find("arguments");
  Json parsed;
  if (const std::string* text = arguments == nullptr ? nullptr : arguments->as_string()) {
    auto json = parse_json(*text, "arguments");
    parsed = json.ok() ? std::move(*json) : Json();
  } else if (arguments != nullptr) {
    parsed = *arguments;
  }
  if (parsed.as_object() == nullptr) {
    parsed = Json::object({{"arguments", arguments == nullptr ? Json("") : *arguments}});
  }
  std::string out;
  for (const auto& [key, value] : *parsed.as_object()) {
    const bool is_text = value.as_string() != nullptr;
    std::string shown;
    if (is_text) {
      shown = *value.as_string();
    } else {
      LH_TRY(shown, python_json(value));
    }
    if (!out.empty()) out += '\n';
    out += fmt::format("{}{}\" string=\"{}\">{}{}", kParameterOpen, key, is_text, shown,
                       kParameterClose);
  }
  return out;
}

class Renderer {
 public:
  Renderer(const std::vector<Turn>& turns, const DsmlOptions& options,
           const Result<DsmlProse>& prose)
      : turns_(turns), options_(options), prose_(prose) {
    for (size_t i = 0; i < turns.size(); ++i) {
      if (turns[i].is_user()) last_user_ = static_cast<int64_t>(i);
    }
  }

  Result<std::string> render() {
    out_ = kBos;
    if (options_.thinking && options_.max_effort && !turns_.empty()) {
      LH_TRY(const DsmlProse* prose, prose_or_error());
      out_ += prose->max_effort;
    }
    for (size_t i = 0; i < turns_.size(); ++i) {
      LH_RETURN_IF_ERROR(message(i));
      LH_RETURN_IF_ERROR(transition(i));
    }
    return std::move(out_);
  }

 private:
  Result<const DsmlProse*> prose_or_error() const {
    if (!prose_.ok()) return prose_.error();
    return &*prose_;
  }

  bool keeps_reasoning(size_t i) const {
    return !options_.drop_thinking || static_cast<int64_t>(i) > last_user_;
  }

  Status message(size_t i) {
    const Turn& turn = turns_[i];
    const std::string where = fmt::format("turn {}", i);
    if (turn.is("user")) {
      out_ += kUser;
      for (size_t b = 0; b < turn.blocks.size(); ++b)
        out_ += (b > 0 ? "\n\n" : "") + turn.blocks[b].text;
      return {};
    }
    LH_TRY(const std::string content, content_text(turn.find("content"), where));
    if (turn.is("assistant")) return assistant(i, content);
    if (turn.is("system")) {
      out_ += content;
      return instructions(turn, where);
    }
    if (turn.is("latest_reminder")) {
      if (turn.find("content") == nullptr) return invalid("{}: a reminder needs content", where);
      out_ += fmt::format("{}{}", kLatestReminder, content);
      return {};
    }
    if (content.empty()) return invalid("{}: a developer's message needs content", where);
    out_ += fmt::format("{}{}", kUser, content);
    return instructions(turn, where);
  }

  // What stands below the text of a system or developer message.
  Status instructions(const Turn& turn, const std::string& where) {
    if (const Json* list = turn.find("tools"); says_something(list)) {
      LH_TRY(const Tools tools, Tools::from_json(*list, where + ".tools"));
      std::string schemas;
      for (const Json& tool : tools.wrapped()) {
        LH_TRY(const std::string schema, python_json(*tool.find("function")));
        schemas += (schemas.empty() ? "" : "\n") + schema;
      }
      LH_TRY(const DsmlProse* prose, prose_or_error());
      out_ += "\n\n" + prose->tools.filled({{"tool_schemas", schemas},
                                            {"dsml_token", kToken},
                                            {"thinking_start_token", kThinkOpen},
                                            {"thinking_end_token", kThinkClose}});
    }
    if (const Json* format = turn.find("response_format"); says_something(format)) {
      LH_TRY(const std::string schema, python_json(*format));
      LH_TRY(const DsmlProse* prose, prose_or_error());
      out_ += "\n\n" + prose->response_format.filled({{"schema", schema}});
    }
    return {};
  }

  Status assistant(size_t i, const std::string& content) {
    const Turn& turn = turns_[i];
    const bool answers_task = i > 0 && turns_[i - 1].task() != nullptr;
    if (options_.thinking && !answers_task && keeps_reasoning(i)) {
      out_ += fmt::format("{}{}", text_or_empty(turn.find("reasoning_content")), kThinkClose);
    }
    out_ += content;
    if (const Json* calls = turn.find("tool_calls"); says_something(calls))
      LH_RETURN_IF_ERROR(tool_calls(*calls, i));
    if (!says_something(turn.find("wo_eos"))) out_ += kEos;
    return {};
  }

  Status tool_calls(const Json& calls, size_t i) {
    if (calls.as_array() == nullptr)
      return invalid("turn {}.tool_calls: must be an array, not {}", i, calls.type_name());
    out_ += fmt::format("\n\n{}\n", kCallsOpen);
    for (const Json& call : *calls.as_array()) {
      const Json* function = call.find("function");
      const std::string_view name =
          function == nullptr ? std::string_view() : text_or_empty(function->find("name"));
      if (name.empty()) return invalid("turn {}.tool_calls: a call without a function's name", i);
      LH_TRY(const std::string arguments, dsml_arguments(*function));
      out_ += fmt::format("{}{}\">\n{}\n{}\n", kInvokeOpen, name, arguments, kInvokeClose);
    }
    out_ += kCallsClose;
    return {};
  }

  // What opens the next message, where that is the model's to write or a reminder before it.
  Status transition(size_t i) {
    if (i + 1 < turns_.size() && !turns_[i + 1].is("assistant") &&
        !turns_[i + 1].is("latest_reminder"))
      return {};
    if (const Json* task = turns_[i].task()) return open_task(*task, i);
    if (!turns_[i].is_user()) return {};
    const bool thinks =
        options_.thinking && (!options_.drop_thinking || static_cast<int64_t>(i) >= last_user_);
    out_ += fmt::format("{}{}", kAssistant, thinks ? kThinkOpen : kThinkClose);
    return {};
  }

  Status open_task(const Json& task, size_t i) {
    static constexpr std::string_view kTasks[] = {"action", "query", "authority",
                                                  "domain", "title", "read_url"};
    const std::string_view name = text_or_empty(&task);
    if (std::find(std::begin(kTasks), std::end(kTasks), name) == std::end(kTasks)) {
      return invalid(
          "turn {}.task: '{}' is none of action, query, authority, domain, title, read_url", i,
          printable(name, 40));
    }
    if (name == "action")
      out_ += fmt::format("{}{}", kAssistant, options_.thinking ? kThinkOpen : kThinkClose);
    out_ += fmt::format("<｜{}｜>", name);
    return {};
  }

  const std::vector<Turn>& turns_;
  const DsmlOptions& options_;
  const Result<DsmlProse>& prose_;
  int64_t last_user_ = -1;
  std::string out_;
};

// Developer messages before the last user's turn go with the reasoning of their time.
void drop_old_developers(std::vector<Turn>& turns) {
  const auto last_user =
      std::find_if(turns.rbegin(), turns.rend(), [](const Turn& t) { return t.is_user(); });
  if (last_user == turns.rend()) return;
  const auto end = std::prev(last_user.base());
  turns.erase(std::remove_if(turns.begin(), end, [](const Turn& t) { return t.is("developer"); }),
              end);
}

}  // namespace

bool DsmlEncoder::fits(const Tokenizer& tokenizer) {
  for (const std::string_view token : {kBos, kEos, kUser, kAssistant, kToken}) {
    if (!tokenizer.token_to_id(token)) return false;
  }
  return true;
}

static Result<std::string> encode_with(const Result<DsmlProse>& prose, const Json& messages,
                                       const DsmlOptions& options) {
  LH_RETURN_IF_ERROR(check_shape(messages));
  LH_TRY(std::vector<Turn> turns, merge_tool_results(*messages.as_array()));
  sort_tool_results(turns);
  DsmlOptions effective = options;
  if (std::any_of(turns.begin(), turns.end(),
                  [](const Turn& t) { return says_something(t.find("tools")) && !t.is("user"); })) {
    effective.drop_thinking = false;
  }
  if (effective.thinking && effective.drop_thinking) drop_old_developers(turns);
  return Renderer(turns, effective, prose).render();
}

Result<std::string> DsmlEncoder::encode(const Json& messages, const DsmlOptions& options) const {
  return or_remedy(encode_with(prose_, messages, options), "correct the message");
}

}  // namespace longhaul
