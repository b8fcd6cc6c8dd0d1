// Calls that are written in tags, whose values are raw text:
//
//   <｜DSML｜invoke name="f"> <｜DSML｜parameter name="k" string="true">v</｜DSML｜parameter> ...
//   </｜DSML｜invoke> <function=f> <parameter=k> v </parameter> ... </function> f
//   <arg_key>k</arg_key> <arg_value>v</arg_value> ...
//
// A value ends at the tag that closes it where another tag or the end of the call follows: a
// closing tag that text follows is a part of the value, and so is a whole call that the value
// quotes. A value that is never closed ends at the next parameter, else at the end of its call.
#pragma once

#include <string>
#include <string_view>

#include "text/chat/call_draft.h"
#include "text/chat/call_text.h"
#include "text/chat/tool_list.h"

namespace longhaul {

class TagCallReader {
 public:
  TagCallReader(const CallText& text, size_t at, const Tools& tools)
      : in_(text), text_(text.text), at_(at), tools_(tools) {}

  Reading read_function(CallDraft& call);  // at <function=...> or DSML's <invoke ...>
  // at the name before <arg_key> tags, or alone before the call's closing marker
  Reading read_named(CallDraft& call);
  size_t at() const { return at_; }

 private:
  struct ValueEnd {
    Reading reading = Reading::kRead;
    size_t end = 0, next = 0;
    bool closed = true;  // by its own tag
  };

  Reading parameter(const Tag& tag, CallDraft& call);
  Reading key_and_value(CallDraft& call);
  Reading json_arguments(CallDraft& call);
  ValueEnd value_end(const Tag& opener) const;
  bool quotes_call_at(const Tag& opener, const std::optional<Tag>& tag, size_t at) const;
  size_t quoted_end(const Tag& opener, size_t at) const;
  static bool ends_function(const Tag& tag, const Tag& opener);
  bool is_next_parameter(const Tag& opener, const Tag& tag, size_t at) const;
  bool at_structure(size_t at, const Tag& closer, const Tag& opener) const;
  bool begins_line(size_t at) const;
  bool ends_in_tag() const;
  bool may_be_parameter(std::string_view name) const;
  Reading at_end() const { return in_.is_whole ? Reading::kCut : Reading::kMore; }

  const CallText& in_;
  std::string_view text_;
  size_t at_;
  const Tools& tools_;
  const Json* properties_ = nullptr;  // of the function that is read
};

}  // namespace longhaul
