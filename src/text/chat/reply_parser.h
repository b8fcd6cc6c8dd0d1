// Splits what a model writes into reasoning, content and tool calls while it comes.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "longhaul/chat.h"
#include "text/chat/code_spans.h"
#include "text/chat/reply_format.h"
#include "text/chat/reply_markers.h"
#include "text/chat/tool_calls.h"
#include "text/chat/tool_list.h"

namespace longhaul {

class ReplyParser {
 public:
  // inside_reasoning: the prompt has opened the reasoning (ends_inside_reasoning).
  ReplyParser(ReplyFormat format, Tools tools, bool inside_reasoning);

  // Text in any pieces. A piece that may be the beginning of a marker is held back until that is
  // decided, and so is an open call.
  std::vector<ReplyPart> push(std::string_view text);
  // The end of the answer: what was held back. The parser is done then.
  std::vector<ReplyPart> finish();

  const Reply& reply() const { return reply_; }

 private:
  enum class State { kReasoning, kContent, kCall };
  enum class Start { kNo, kUndecided, kYes };

  std::string_view rest() const { return std::string_view(input_).substr(at_); }
  void advance();
  bool step();

  // Text, and the markers in it.
  bool step_text();
  size_t next_candidate(std::string_view text) const;
  Start unmarked_call_at(std::string_view text) const;
  bool skip_label();
  void end_in_partial_marker();
  bool in_reasoning(const Marker& marker);
  bool in_content(const Marker& marker);
  void open_reasoning(size_t length);
  void close_reasoning(size_t length);
  void drop(size_t length);
  void word(size_t length);
  bool in_code_span() const;
  bool at_line_start() const;

  // The open call.
  void begin_call(size_t marker_length, bool unmarked);
  bool step_call();
  Start call_starts(std::string_view text) const;
  bool may_end_at(std::string_view text, const Marker& marker) const;
  bool try_block(size_t length, bool is_whole);
  void take_block(CallBlock block);
  void give_up_call();
  std::string without_markup(std::string_view text) const;

  // What is given.
  void take(std::string_view text);
  void take_words(std::string_view text);
  void restore_newlines();
  void emit(std::string_view text);
  void emit_call(const ToolCall& call);
  void content_was_reasoning();
  void note(ReplyNote note);

  ReplyFormat format_;
  Tools tools_;
  State state_;
  std::string input_;  // from at_ on: what is not decided
  size_t at_ = 0;
  bool is_over_ = false;

  // Of text.
  CodeSpans code_;
  std::string lead_;             // white space before the first word of an answer
  size_t pending_newlines_ = 0;  // at the end of the text so far: layout, if a marker follows
  size_t gap_ = 0;               // line breaks between reasoning and content that were layout
  bool at_start_;                // no word of the answer has come
  bool skip_newlines_;           // a marker has come whose layout they would be
  bool expect_label_ = false;
  // a closing marker has come behind content: if more comes, that content was reasoning
  bool late_close_ = false;
  // opening markers in the midst of a line, whose closing ones mean nothing either
  int64_t dropped_opens_ = 0;
  // something was taken out between the last and the next text of reasoning, of content
  bool seam_[2] = {false, false};

  // Of the open call.
  State around_call_ = State::kContent;
  bool unmarked_ = false, call_begun_ = false;
  size_t call_newlines_ = 0;  // that were taken for layout before it
  size_t searched_ = 0;       // bytes of it in which its end was looked for
  size_t tried_ = 0;          // its length when it was last read
  int n_tries_ = 0;
  bool searched_in_vain_ = false;  // for the end of a string, far behind a closing marker
  std::vector<ToolCall> unmade_;   // calls inside of reasoning that may go on

  std::vector<ReplyPart> parts_;
  Reply reply_;
  std::unordered_map<std::string, size_t> counted_;  // notes by kind and detail
};

}  // namespace longhaul
