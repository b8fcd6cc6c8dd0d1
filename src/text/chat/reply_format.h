// How a model marks reasoning and tool calls in what it writes: data, found in its chat template
// and its tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace longhaul {

struct ReplyFormat {
  std::string think_open, think_close;  // empty: the model marks no reasoning
  std::string think_label;              // a word behind think_open that belongs to it
  std::string call_open, call_close;    // empty: the model marks no calls

  std::vector<std::string> inner;  // marks inside of calls; outside they mean nothing
  bool dsml = false;               // calls are DSML, whose tags may be misspelt
  bool function_tags = false;      // calls may be written in <function=...> tags

  // Reasoning may open anywhere; else before the first word of the answer, and later at the
  // beginning of a line.
  bool think_anywhere = false;
  // A call's marker inside reasoning ends the reasoning; else the call is made only if the
  // reasoning ends with it.
  bool calls_end_reasoning = false;
  // A call may begin with the function's name and nothing before it.
  bool bare_call_names = false;
  // Line breaks beside the markers of reasoning are layout and no part of the text; else every one
  // counts.
  bool newlines_are_layout = false;
  // Line breaks before a call's marker that belong to it, at most.
  size_t newlines_before_call = 0;
};

// Template: the source of a chat template, or empty. A marker counts where the template writes it
// or where it is one token.
ReplyFormat find_reply_format(std::string_view chat_template, const Tokenizer* tokenizer);

// Whether a rendered prompt ends where reasoning has begun. Only its end decides: texts further up
// may hold anything.
bool ends_inside_reasoning(const ReplyFormat& format, std::string_view prompt);

// The special tokens that are part of the format's markers: they must be decoded although other
// special tokens are skipped.
std::vector<int32_t> marker_tokens(const ReplyFormat& format, const Tokenizer& tokenizer);

}  // namespace longhaul
