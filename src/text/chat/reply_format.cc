#include "text/chat/reply_format.h"

#include <algorithm>

#include "text/chat/dsml.h"

namespace longhaul {
namespace {

constexpr size_t kUnlimited = SIZE_MAX;

struct ThinkMarkers {
  std::string_view open, close, label;
  bool anywhere;

  template <class Has>
  bool shown_by(const Has& has) const {
    return has(open) || has(close);
  }
};
constexpr ThinkMarkers kThinkMarkers[] = {
    {"<|channel>", "<channel|>", "thought", true},
    {"<think>", "</think>", "", false},
};

struct CallMarkers {
  std::string_view evidence;  // what the template or the tokenizer must have
  std::string_view open, close;
  bool ends_reasoning, bare_names;
  size_t newlines_before;
  std::string_view inner[4];  // marks inside of calls; empty ones behind the last

  template <class Has>
  bool shown_by(const Has& has) const {
    return has(evidence);
  }
};
constexpr CallMarkers kCallMarkers[] = {
    {dsml::kToken, dsml::kCallsOpen, dsml::kCallsClose, true, false, 2, {}},
    {"<|tool_call>",
     "<|tool_call>",
     "<tool_call|>",
     true,
     false,
     kUnlimited,
     {"<|\"|>", "<|tool_response>", "<tool_response|>"}},
    {"<zyphra_tool_call>",
     "<zyphra_tool_call>",
     "</zyphra_tool_call>",
     false,
     false,
     kUnlimited,
     {}},
    {"<tool_call>",
     "<tool_call>",
     "</tool_call>",
     false,
     true,
     0,
     {"<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"}},
};

// Tokens inside of markers and calls, besides the markers themselves.
constexpr std::string_view kInnerTokens[] = {dsml::kToken, "<|\"|>",      "<arg_key>",
                                             "</arg_key>", "<arg_value>", "</arg_value>"};

// The row whose marker the template writes; failing that, one that the tokenizer has as a token.
template <class Row, size_t n>
const Row* find_row(const Row (&rows)[n], std::string_view chat_template,
                    const Tokenizer* tokenizer) {
  for (const Row& row : rows) {
    if (row.shown_by([&](std::string_view marker) {
          return chat_template.find(marker) != chat_template.npos;
        }))
      return &row;
  }
  if (tokenizer == nullptr) return nullptr;
  for (const Row& row : rows) {
    if (row.shown_by(
            [&](std::string_view marker) { return tokenizer->token_to_id(marker).has_value(); }))
      return &row;
  }
  return nullptr;
}

// Whether the template puts its markers on lines of their own, as a line break or as the escape for
// one.
bool breaks_line_after(std::string_view chat_template, std::string_view marker) {
  for (size_t at = chat_template.find(marker); at != chat_template.npos;
       at = chat_template.find(marker, at + 1)) {
    const std::string_view behind = chat_template.substr(at + marker.size());
    if (behind.starts_with('\n') || behind.starts_with("\\n")) return true;
  }
  return false;
}

std::string_view without_trailing_newlines(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

}  // namespace

ReplyFormat find_reply_format(std::string_view chat_template, const Tokenizer* tokenizer) {
  ReplyFormat format;
  if (const auto* think = find_row(kThinkMarkers, chat_template, tokenizer)) {
    format.think_open = think->open;
    format.think_close = think->close;
    format.think_label = think->label;
    format.think_anywhere = think->anywhere;
    format.newlines_are_layout =
        !think->label.empty() || breaks_line_after(chat_template, think->open);
  }
  if (const auto* call = find_row(kCallMarkers, chat_template, tokenizer)) {
    format.call_open = call->open;
    format.call_close = call->close;
    format.calls_end_reasoning = call->ends_reasoning;
    format.bare_call_names = call->bare_names;
    for (const std::string_view mark : call->inner) {
      if (!mark.empty()) format.inner.emplace_back(mark);
    }
    format.dsml = call->evidence == dsml::kToken;
    format.function_tags = call->open == "<zyphra_tool_call>" ||
                           chat_template.find("<function=") != chat_template.npos;
    format.newlines_before_call = format.newlines_are_layout ? kUnlimited : call->newlines_before;
  }
  return format;
}

bool ends_inside_reasoning(const ReplyFormat& format, std::string_view prompt) {
  return !format.think_open.empty() &&
         without_trailing_newlines(prompt).ends_with(format.think_open + format.think_label);
}

std::vector<int32_t> marker_tokens(const ReplyFormat& format, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  const auto add = [&](std::string_view text) {
    const auto id = tokenizer.token_to_id(text);
    if (id && tokenizer.is_special(*id)) ids.push_back(*id);
  };
  for (const std::string* marker :
       {&format.think_open, &format.think_close, &format.call_open, &format.call_close})
    add(*marker);
  if (!format.call_open.empty()) {
    for (const std::string_view token : kInnerTokens) add(token);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace longhaul
