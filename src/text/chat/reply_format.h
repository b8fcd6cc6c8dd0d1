// How a model marks reasoning and tool calls in what it writes: data, found in its chat template and its tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace longhaul {

struct ReplyFormat {
  std::string think_open, think_close;  // empty: the model marks no reasoning
  std::string think_label;              // a word behind think_open that belongs to it
  std::string call_open, call_close;    // empty: the model marks no calls

  // Reasoning may open anywhere; else only before the first word of the answer, and later the marker is text like any other.
  bool think_anywhere = false;
  // A call's marker inside reasoning ends the reasoning; else it is a part of it.
  bool calls_end_reasoning = false;
  // A call may begin with the function's name and nothing before it.
  bool bare_call_names = false;
  // Line breaks beside the markers of reasoning are layout and no part of the text; else every one counts.
  bool newlines_are_layout = false;
  // Line breaks before a call's marker that belong to it, at most.
  size_t newlines_before_call = 0;
};

// Template: the source of a chat template, or empty. A marker counts where the template writes it or where it is one token.
ReplyFormat find_reply_format(std::string_view chat_template, const Tokenizer* tokenizer);

// Whether a rendered prompt ends where reasoning has begun. Only its end decides: texts further up may hold anything.
bool ends_inside_reasoning(const ReplyFormat& format, std::string_view prompt);

// The special tokens that are part of the format's markers: they must be decoded although other special tokens are skipped.
std::vector<int32_t> marker_tokens(const ReplyFormat& format, const Tokenizer& tokenizer);

}  // namespace longhaul
