#include "text/chat/call_text.h"

namespace longhaul {
namespace {

constexpr size_t kMaxName = 40, kMaxAttributes = 300;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Bars as models write them around DSML: fullwidth, plain, double.
constexpr std::string_view kBars[] = {"｜", "|", "‖"};
constexpr std::string_view kDsml = "DSML";

constexpr int kMaxBars = 3;

size_t skip_bars(std::string_view text, size_t at) {
  for (int n = 0; n < kMaxBars; ++n) {
    const auto* bar = std::find_if(std::begin(kBars), std::end(kBars), [&](std::string_view b) {
      return text.substr(at).starts_with(b);
    });
    if (bar == std::end(kBars)) break;
    at += bar->size();
  }
  return at;
}

// Behind DSML's sign at text[at], or `at` where it is not there.
size_t skip_dsml(std::string_view text, size_t at) {
  const size_t word = skip_bars(text, at);
  if (word == at || !text.substr(word).starts_with(kDsml)) return at;
  const size_t end = skip_bars(text, word + kDsml.size());
  if (end == word + kDsml.size()) return at;
  return text.substr(end).starts_with(' ') ? end + 1 : end;
}

std::string_view without_quotes(std::string_view text) {
  text = trimmed(text);
  for (const char quote : {'"', '\''}) {
    if (text.starts_with(quote)) text.remove_prefix(1);
    if (text.ends_with(quote)) text.remove_suffix(1);
  }
  return text;
}

}  // namespace

std::string_view Tag::direct_value() const {
  const std::string_view text = trimmed(attributes);
  return text.starts_with('=') ? without_quotes(text.substr(1)) : std::string_view();
}

std::optional<std::string_view> Tag::attribute(std::string_view key) const {
  for (size_t at = attributes.find(key); at != attributes.npos; at = attributes.find(key, at + 1)) {
    const bool begins = at > 0 && kSpace.find(attributes[at - 1]) != kSpace.npos;
    const size_t equals = skip_space(attributes, at + key.size());
    if (!begins || equals >= attributes.size() || attributes[equals] != '=') continue;
    const size_t value = skip_space(attributes, equals + 1);
    const std::string_view rest = attributes.substr(value);
    if (rest.empty()) return rest;
    const bool quoted = rest[0] == '"' || rest[0] == '\'';
    const size_t end = quoted ? rest.find(rest[0], 1) : rest.find_first_of(" \t\r\n\"'");
    return quoted ? rest.substr(1, end == rest.npos ? end : end - 1) : rest.substr(0, end);
  }
  return std::nullopt;
}

std::optional<Tag> tag_at(std::string_view text, size_t at) {
  if (at >= text.size() || text[at] != '<') return std::nullopt;
  Tag tag;
  size_t i = at + 1;
  tag.closing = i < text.size() && text[i] == '/';
  if (tag.closing) ++i;
  const size_t name = skip_dsml(text, i);
  tag.dsml = name != i;
  for (i = name; i < text.size() && i - name < kMaxName && is_name_character(text[i]);) ++i;
  if (i == name) return std::nullopt;
  tag.name = text.substr(name, i - name);
  const size_t end = std::min(text.find_first_of("<>\n", i), text.size());
  if (end - i > kMaxAttributes) return std::nullopt;
  tag.attributes = text.substr(i, end - i);
  tag.complete = end < text.size() && text[end] == '>';
  tag.length = end + (tag.complete ? 1 : 0) - at;
  return tag;
}

bool may_become_dsml_tag(std::string_view text) {
  size_t i = text.substr(1).starts_with('/') ? 2 : 1;
  if (i >= text.size()) return true;
  const size_t word = skip_bars(text, i);
  // A bar of several bytes may be cut.
  for (const std::string_view bar : kBars) {
    if (text.size() > word && bar.starts_with(text.substr(word))) return true;
  }
  if (word == i) return false;
  const std::string_view rest = text.substr(word);
  if (rest.size() <= kDsml.size()) return kDsml.starts_with(rest);
  if (!rest.starts_with(kDsml)) return false;
  const size_t name = skip_dsml(text, i);
  if (name == i) {
    const std::string_view bar = rest.substr(kDsml.size());
    return std::any_of(std::begin(kBars), std::end(kBars),
                       [&](std::string_view b) { return b.starts_with(bar); });
  }
  const std::string_view tail = text.substr(name);
  return tail.find_first_of("<>\n") == tail.npos && tail.size() <= kMaxName + kMaxAttributes;
}

bool begins_call(std::string_view text, size_t at) {
  at = skip_space(text, at);
  const std::string_view rest = text.substr(at);
  if (rest.starts_with("call:") || rest.starts_with('{')) return true;
  const size_t name_end = std::min(rest.find_first_of(" \t\r\n<>{}\"'"), rest.size());
  const auto tag = tag_at(text, skip_space(text, at + name_end));
  if (!tag || tag->closing) return false;
  return name_end > 0 ? tag->name == "arg_key" : tag->name == "function" || tag->name == "invoke";
}

bool is_dsml_block(const Tag& tag) {
  return tag.dsml && (tag.name == "tool_calls" || tag.name == "function_calls" ||
                      tag.name == "calls" || tag.name == "tool_call");
}

bool is_call_tag(const Tag& tag) {
  static constexpr std::string_view kNames[] = {"function", "invoke",  "parameter",
                                                "param",    "arg_key", "arg_value"};
  return std::find(std::begin(kNames), std::end(kNames), tag.name) != std::end(kNames) ||
         is_dsml_block(tag);
}

size_t CallText::other_at(size_t at) const {
  return !markers.other.empty() && text.substr(at).starts_with(markers.other) ? markers.other.size()
                                                                              : 0;
}

size_t CallText::marker_at(size_t at, std::string_view mark, bool closing) const {
  if (mark.empty() || at >= text.size() || text[at] != '<') return 0;
  if (text.substr(at).starts_with(mark)) return mark.size();
  if (!markers.dsml) return 0;
  const auto tag = tag_at(text, at);
  return tag && tag->complete && tag->closing == closing && is_dsml_block(*tag) ? tag->length : 0;
}

bool CallText::next_call_at(size_t at) const {
  const size_t close = close_at(at);
  return close > 0 && open_at(skip_space(text, at + close)) > 0;
}

bool CallText::ends_in_marker(size_t at) const {
  const std::string_view rest = text.substr(at);
  if (!rest.starts_with('<')) return false;
  const auto tag = tag_at(text, at);
  if (markers.dsml && !(tag && tag->complete) && may_become_dsml_tag(rest)) return true;
  return markers.open.starts_with(rest) || markers.close.starts_with(rest);
}

size_t CallText::find_close(size_t from) const {
  for (size_t at = text.find('<', from); at != text.npos; at = text.find('<', at + 1)) {
    if (close_at(at) > 0) return at;
  }
  return text.npos;
}

}  // namespace longhaul
