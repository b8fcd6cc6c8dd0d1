#include "text/chat/tool_calls.h"

#include <algorithm>
#include <optional>

#include "text/chat/dsml.h"
#include "text/chat/python_json.h"

namespace longhaul {
namespace {

constexpr int kMaxDepth = 32;  // of lists and objects in the braces notation

constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  return begin == text.npos ? std::string_view() : text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  std::string_view rest() const { return rest_; }
  bool at_end() const { return rest_.empty(); }
  bool at(std::string_view text) const { return rest_.starts_with(text); }
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpace), rest_.size())); }
  bool take(std::string_view text) {
    if (!at(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  // The text up to `end`, which is taken too.
  std::optional<std::string_view> until(std::string_view end) {
    const size_t n = rest_.find(end);
    if (n == rest_.npos) return std::nullopt;
    const std::string_view found = rest_.substr(0, n);
    rest_.remove_prefix(n + end.size());
    return found;
  }
  // The text up to one of these characters or the end; none of them is taken.
  std::string_view before(std::string_view characters) {
    const std::string_view found = rest_.substr(0, rest_.find_first_of(characters));
    rest_.remove_prefix(found.size());
    return found;
  }

 private:
  std::string_view rest_;
};

// A call as it is read. A parameter given twice keeps its later value.
struct Draft {
  std::string name;
  Json arguments = Json(Json::Object{});

  std::optional<ToolCall> finished() const {
    auto text = python_json(arguments);
    if (name.empty() || !text.ok()) return std::nullopt;
    return ToolCall{name, std::move(*text)};
  }
};

bool schema_allows(const Json& type, std::string_view name) {
  if (const std::string* one = type.as_string()) return *one == name;
  const Json::Array* several = type.as_array();
  return several != nullptr && std::any_of(several->begin(), several->end(), [&](const Json& t) { return schema_allows(t, name); });
}

std::string_view type_in_schemas(const Json& value) {
  if (value.is_null()) return "null";
  if (value.as_bool() != nullptr) return "boolean";
  if (value.as_array() != nullptr) return "array";
  if (value.as_object() != nullptr) return "object";
  return "number";
}

Json typed_value(std::string_view raw, const Json* schema) {
  const auto json = parse_json(trimmed(raw), "value");
  // Strings are written raw, so quotes that stand there are part of one.
  if (!json.ok() || json->as_string() != nullptr) return Json(raw);
  const Json* type = schema == nullptr ? nullptr : schema->find("type");
  if (type == nullptr || !schema_allows(*type, "string")) return *json;
  return schema_allows(*type, type_in_schemas(*json)) ? *json : Json(raw);
}

std::string_view without_one_newline_around(std::string_view text) {
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

// --- <｜DSML｜invoke name="f"> ---------------------------------------------------------------------------------------

bool read_dsml_parameter(Cursor& at, const Tools& tools, Draft& call) {
  const auto name = at.until("\"");
  if (!name) return false;
  const bool text = at.take(" string=\"true\"");
  if (!text) at.take(" string=\"false\"");
  if (!at.take(">")) return false;
  const auto value = at.until(dsml::kParameterClose);
  if (!value) return false;
  call.arguments.set(std::string(*name), text ? Json(*value) : typed_value(*value, tools.parameter(call.name, *name)));
  return true;
}

std::optional<Draft> read_dsml_invoke(Cursor& at, const Tools& tools) {
  const auto name = at.until("\">");
  if (!name) return std::nullopt;
  Draft call{std::string(*name)};
  for (at.skip_space(); at.take(dsml::kParameterOpen); at.skip_space()) {
    if (!read_dsml_parameter(at, tools, call)) return std::nullopt;
  }
  if (!at.take(dsml::kInvokeClose)) return std::nullopt;
  return call;
}

// --- call:f{k:<|"|>v<|"|>} ------------------------------------------------------------------------------------------

bool read_braces_value(Cursor& at, Json& out, int depth);

bool read_braces_key(Cursor& at, std::string& key) {
  at.skip_space();
  const std::string_view quote = at.at("<|\"|>") ? "<|\"|>" : "\"";
  if (at.take(quote)) {
    const auto text = at.until(quote);
    if (!text) return false;
    key = *text;
  } else {
    key = trimmed(at.before(":{}[],"));
  }
  at.skip_space();
  return !key.empty() && at.take(":");
}

bool read_braces_object(Cursor& at, Json& out, int depth) {
  if (depth > kMaxDepth || !at.take("{")) return false;
  out = Json(Json::Object{});
  at.skip_space();
  if (at.take("}")) return true;
  while (true) {
    std::string key;
    Json value;
    if (!read_braces_key(at, key) || !read_braces_value(at, value, depth + 1)) return false;
    out.set(std::move(key), std::move(value));
    at.skip_space();
    if (at.take("}")) return true;
    if (!at.take(",")) return false;
  }
}

bool read_braces_list(Cursor& at, Json& out, int depth) {
  if (depth > kMaxDepth || !at.take("[")) return false;
  out = Json(Json::Array{});
  at.skip_space();
  if (at.take("]")) return true;
  while (true) {
    Json value;
    if (!read_braces_value(at, value, depth + 1)) return false;
    out.push_back(std::move(value));
    at.skip_space();
    if (at.take("]")) return true;
    if (!at.take(",")) return false;
  }
}

// A string in the JSON way: the quotation mark that ends it is not escaped.
bool read_quoted(Cursor& at, Json& out) {
  const std::string_view text = at.rest();
  size_t end = 1;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  if (end >= text.size()) return false;
  auto json = parse_json(text.substr(0, end + 1), "value");
  if (!json.ok()) return false;
  out = std::move(*json);
  return at.take(text.substr(0, end + 1));
}

bool read_braces_value(Cursor& at, Json& out, int depth) {
  at.skip_space();
  if (at.at("{")) return read_braces_object(at, out, depth);
  if (at.at("[")) return read_braces_list(at, out, depth);
  if (at.at("\"")) return read_quoted(at, out);
  if (at.take("<|\"|>")) {
    const auto text = at.until("<|\"|>");
    if (!text) return false;
    out = Json(*text);
    return true;
  }
  const std::string_view word = trimmed(at.before(",}]"));
  if (word.empty()) return false;
  auto json = parse_json(word, "value");
  out = json.ok() ? std::move(*json) : Json(word);
  return true;
}

std::optional<Draft> read_braces_call(Cursor& at) {
  Draft call{std::string(trimmed(at.before("{")))};
  if (!read_braces_object(at, call.arguments, 0)) return std::nullopt;
  return call;
}

// --- <function=f> ---------------------------------------------------------------------------------------------------

std::optional<Draft> read_function_tags(Cursor& at, bool closed, const Tools& tools) {
  const auto name = at.until(">");
  if (!name) return std::nullopt;
  Draft call{std::string(trimmed(*name))};
  for (at.skip_space(); at.take("<parameter="); at.skip_space()) {
    const auto key = at.until(">");
    const auto value = key ? at.until("</parameter>") : std::nullopt;
    if (!value) return std::nullopt;
    call.arguments.set(std::string(*key), typed_value(without_one_newline_around(*value), tools.parameter(call.name, *key)));
  }
  if (!at.take("</function>") && !(closed && at.at_end())) return std::nullopt;
  return call;
}

// --- {"name": "f", "arguments": {}} ---------------------------------------------------------------------------------

std::optional<Draft> read_json_call(std::string_view body) {
  const auto json = parse_json(trimmed(body), "call");
  const Json* name = json.ok() ? json->find("name") : nullptr;
  if (name == nullptr || name->as_string() == nullptr) return std::nullopt;
  Draft call{*name->as_string()};
  const Json* arguments = json->find("arguments");
  if (arguments == nullptr) arguments = json->find("parameters");
  if (arguments == nullptr || arguments->is_null()) return call;
  if (const std::string* text = arguments->as_string()) {
    auto inner = parse_json(*text, "arguments");
    call.arguments = inner.ok() ? std::move(*inner) : *arguments;
  } else {
    call.arguments = *arguments;
  }
  if (call.arguments.as_object() == nullptr) call.arguments = Json::object({{"arguments", call.arguments}});
  return call;
}

// --- f <arg_key>k</arg_key> <arg_value>v</arg_value> ----------------------------------------------------------------

std::optional<Draft> read_tagged_call(Cursor& at, const Tools& tools) {
  Draft call{std::string(trimmed(at.before("<")))};
  if (call.name.find_first_of(kSpace) != call.name.npos) return std::nullopt;
  for (; at.take("<arg_key>"); at.skip_space()) {
    const auto written = at.until("</arg_key>");
    at.skip_space();
    const auto value = written && at.take("<arg_value>") ? at.until("</arg_value>") : std::nullopt;
    if (!value) return std::nullopt;
    const std::string_view key = trimmed(*written);
    call.arguments.set(std::string(key), typed_value(*value, tools.parameter(call.name, key)));
  }
  if (!at.at_end()) return std::nullopt;
  return call;
}

// The next call at `at`, which is left behind it; nothing where none is.
std::optional<Draft> read_call(Cursor& at, const CallReading& how, const Tools& tools) {
  if (at.take(dsml::kInvokeOpen)) return read_dsml_invoke(at, tools);
  if (at.take("call:")) return read_braces_call(at);
  if (at.take("<function=")) return read_function_tags(at, how.closed, tools);
  std::optional<Draft> call;
  if (at.at("{")) {
    call = read_json_call(at.rest());
  } else if (how.closed && how.bare_names) {
    Cursor copy = at;
    call = read_tagged_call(copy, tools);
  }
  if (call) at = Cursor({});  // these two fill their body
  return call;
}

}  // namespace

ReadCalls read_tool_calls(std::string_view body, const CallReading& how, const Tools& tools) {
  ReadCalls out;
  CallReading next = how;
  Cursor at(body);
  while (true) {
    at.skip_space();
    out.rest = at.rest();
    if (at.at_end()) return out;
    const auto draft = read_call(at, next, tools);
    const auto call = draft ? draft->finished() : std::nullopt;
    if (!call) return out;
    out.calls.push_back(*call);
    next.bare_names = false;  // a word behind a call is no further one
  }
}

}  // namespace longhaul
