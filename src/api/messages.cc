#include "api/messages.h"

#include <array>

#include "base/printable.h"
#include "longhaul/nearest.h"

namespace longhaul {
namespace {

struct NamedRole {
  Role role;
  const char* name;
};
constexpr std::array kRoles = {
    NamedRole{Role::kSystem, "system"}, NamedRole{Role::kDeveloper, "developer"},
    NamedRole{Role::kUser, "user"},     NamedRole{Role::kAssistant, "assistant"},
    NamedRole{Role::kTool, "tool"},
};
struct NamedThinking {
  Thinking thinking;
  const char* name;
};
constexpr std::array kThinking = {
    NamedThinking{Thinking::kDefault, "auto"},
    NamedThinking{Thinking::kOff, "off"},
    NamedThinking{Thinking::kOn, "on"},
    NamedThinking{Thinking::kMax, "max"},
};

Json call_json(const ToolCall& call, Json arguments) {
  Json json{Json::Object{}};
  if (!call.id.empty()) json.set("id", call.id);
  json.set("type", "function");
  json.set("function", Json::object({{"name", call.name}, {"arguments", std::move(arguments)}}));
  return json;
}

// A text, or a list of parts {"type": "text", "text": ...} put together. Null is no text.
Result<std::string> content_of(const Json* content, const std::string& where) {
  if (content == nullptr || content->is_null()) return std::string();
  if (const std::string* text = content->as_string()) return *text;
  const Json::Array* parts = content->as_array();
  if (parts == nullptr)
    return corrupt("{}: content is {}; expected a text or a list of text parts", where,
                   content->type_name());
  std::string all;
  for (const Json& part : *parts) {
    const Json* text = part.find("text");
    if (text == nullptr || text->as_string() == nullptr)
      return unsupported("{}: a part of the content is no text; give text alone", where);
    all += *text->as_string();
  }
  return all;
}

// The text of a member that may be absent or null.
Result<std::string> text_of(const Json& object, const char* key, const std::string& where) {
  const Json* value = object.find(key);
  if (value == nullptr || value->is_null()) return std::string();
  if (value->as_string() != nullptr) return *value->as_string();
  return corrupt("{}: {} is {}; expected a text", where, key, value->type_name());
}

Result<ToolCall> parse_call(const Json& json, const std::string& where) {
  const Json* function = json.find("function");
  if (function == nullptr || function->as_object() == nullptr)
    return corrupt("{}: a tool call has no function; give {{\"function\": {{\"name\": ...}}}}",
                   where);
  ToolCall call;
  LH_TRY(call.name, text_of(*function, "name", where));
  LH_TRY(call.id, text_of(json, "id", where));
  const Json* arguments = function->find("arguments");
  if (arguments == nullptr || arguments->is_null()) {
    call.arguments = "{}";
  } else if (const std::string* text = arguments->as_string()) {
    call.arguments = *text;
  } else {
    call.arguments = arguments->dump();
  }
  return call;
}

Result<Role> parse_role(const Json& json, const std::string& where) {
  LH_TRY(const std::string name, text_of(json, "role", where));
  std::vector<std::string> known;
  for (const NamedRole& r : kRoles) {
    if (name == r.name) return r.role;
    known.emplace_back(r.name);
  }
  return corrupt("{}: role '{}' is not known; use one of {}{}", where, printable(name),
                 fmt::join(known, ", "), did_you_mean(name, known));
}

Result<Message> parse_message(const Json& json, const std::string& where) {
  if (json.as_object() == nullptr)
    return corrupt("{}: {}; expected an object with role and content", where, json.type_name());
  Message m;
  LH_TRY(m.role, parse_role(json, where));
  LH_TRY(m.content, content_of(json.find("content"), where));
  LH_TRY(m.reasoning, text_of(json, "reasoning_content", where));
  LH_TRY(m.tool_call_id, text_of(json, "tool_call_id", where));
  LH_TRY(m.name, text_of(json, "name", where));
  const Json* calls = json.find("tool_calls");
  if (calls == nullptr || calls->is_null()) return m;
  if (calls->as_array() == nullptr)
    return corrupt("{}: tool_calls is {}; expected a list", where, calls->type_name());
  for (const Json& call : *calls->as_array()) {
    LH_TRY(ToolCall parsed, parse_call(call, where));
    m.tool_calls.push_back(std::move(parsed));
  }
  return m;
}

// arguments: as text, or as the object that they spell.
template <class ArgumentsOf>
Result<Json> message_json(const Message& m, const ArgumentsOf& arguments_of) {
  Json json = Json::object({{"role", to_string(m.role)}, {"content", m.content}});
  if (!m.reasoning.empty()) json.set("reasoning_content", m.reasoning);
  if (!m.tool_calls.empty()) {
    Json::Array calls;
    for (const ToolCall& call : m.tool_calls) {
      LH_TRY(Json arguments, arguments_of(call));
      calls.push_back(call_json(call, std::move(arguments)));
    }
    json.set("tool_calls", std::move(calls));
  }
  if (!m.tool_call_id.empty()) json.set("tool_call_id", m.tool_call_id);
  if (!m.name.empty()) json.set("name", m.name);
  return json;
}

}  // namespace

const char* to_string(Role role) {
  for (const NamedRole& r : kRoles) {
    if (r.role == role) return r.name;
  }
  return "unknown";
}

const char* to_string(Thinking thinking) {
  for (const NamedThinking& t : kThinking) {
    if (t.thinking == thinking) return t.name;
  }
  return "unknown";
}

Result<Thinking> parse_thinking(std::string_view word) {
  std::vector<std::string> known;
  for (const NamedThinking& t : kThinking) {
    if (word == t.name) return t.thinking;
    known.emplace_back(t.name);
  }
  return invalid("thinking '{}' is not known here; use one of {}{}", printable(word),
                 fmt::join(known, ", "), did_you_mean(word, known));
}

Result<Json> messages_json(std::span<const Message> messages) {
  Json::Array list;
  for (const Message& m : messages) {
    LH_TRY(Json json, message_json(m, [](const ToolCall& call) {
             return parse_json(call.arguments, "arguments of " + printable(call.name));
           }));
    list.push_back(std::move(json));
  }
  return Json(std::move(list));
}

std::string to_json(std::span<const Message> messages) {
  Json::Array list;
  for (const Message& m : messages) {
    const auto as_text = [](const ToolCall& call) { return Result<Json>(Json(call.arguments)); };
    list.push_back(*message_json(m, as_text));
  }
  return Json(std::move(list)).dump(2);
}

Result<std::vector<Message>> parse_messages(std::string_view json, std::string_view where) {
  LH_TRY(const Json list, parse_json(json, where));
  if (list.as_array() == nullptr)
    return corrupt("{}: expected a list of messages, found {}", where, list.type_name());
  std::vector<Message> messages;
  for (const Json& item : *list.as_array()) {
    LH_TRY(Message m, parse_message(item, fmt::format("{}[{}]", where, messages.size())));
    messages.push_back(std::move(m));
  }
  return messages;
}

Result<std::vector<Tool>> parse_tools(std::string_view json, std::string_view where) {
  LH_TRY(const Tools tools, Tools::parse(json, where));
  std::vector<Tool> list;
  for (const Json& tool : tools.wrapped()) {
    const Json* name = tool.find("function")->find("name");  // Tools has asked for both
    list.push_back({*name->as_string(), tool.dump()});
  }
  return list;
}

Result<Tools> tools_of(std::span<const Tool> tools) {
  if (tools.empty()) return Tools();
  Json::Array list;
  for (const Tool& tool : tools) {
    LH_TRY(Json json, parse_json(tool.definition, "the tool " + printable(tool.name)));
    list.push_back(std::move(json));
  }
  return Tools::from_json(Json(std::move(list)), "tools");
}

}  // namespace longhaul
