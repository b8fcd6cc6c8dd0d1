// Splits what a model writes into reasoning, content and tool calls while it comes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "longhaul/chat.h"
#include "text/chat/reply_format.h"
#include "text/chat/tools.h"

namespace longhaul {

class ReplyParser {
 public:
  // inside_reasoning: the prompt has opened the reasoning (ends_inside_reasoning).
  ReplyParser(ReplyFormat format, Tools tools, bool inside_reasoning);

  // Text in any pieces. A piece that may be the beginning of a marker is held back until that is decided.
  std::vector<ReplyPart> push(std::string_view text);
  // The end of the answer: what was held back. The parser is done then.
  std::vector<ReplyPart> finish();

  const Reply& reply() const { return reply_; }

 private:
  enum class State { kReasoning, kContent, kCall };
  enum class Marker { kThinkOpen, kThinkClose, kCallOpen, kCallClose };
  struct Found {
    size_t at = std::string::npos;
    Marker marker = Marker::kThinkOpen;
  };

  const std::string& text_of(Marker marker) const;
  bool watched(Marker marker) const;
  Found next_marker() const;
  size_t held_length() const;
  bool skip_label();
  void advance();
  void take(std::string_view text);
  void take_words(std::string_view text);
  void enter(Marker marker);
  void end_call(bool closed);
  void restore_newlines();
  void emit(std::string_view text);

  ReplyFormat format_;
  Tools tools_;
  State state_;
  std::string held_;             // the end of the input, which may be the beginning of a marker
  std::string body_;             // of the call that is open
  std::string lead_;             // white space before the first word of an answer
  size_t pending_newlines_ = 0;  // at the end of the text so far: layout, if a marker follows
  size_t call_newlines_ = 0;     // that were taken for layout before the open call
  bool at_start_;                // no word of the answer has come
  bool skip_newlines_;           // a marker has come whose layout they would be
  bool expect_label_ = false;
  std::vector<ReplyPart> parts_;
  Reply reply_;
};

}  // namespace longhaul
