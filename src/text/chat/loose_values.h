// Values as models write them in calls, in one reader for all notations: JSON, the braces notation
// {k:<|"|>v<|"|>}, Python's literals, and each of them with a slip in it. What is exact is read as
// it stands; where it is not, the reader takes the reading that loses least and says what it
// mended.
//
//   strings     end at a quotation mark that a comma, a bracket, a key or the end of the call
//   follows; others are part of the text.
//               So neither a bracket nor a marker inside a string ends anything. A string that is
//               never closed ends where the next key begins, else at the call's marker.
//   words       without quotation marks: a number, true, false, null, or text up to the comma
//   before the next key. numbers     are kept as they are written.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/chat/call_text.h"
#include "text/chat/repairs.h"

namespace longhaul {

// Lists and objects in each other that a call may have: it must fit into a conversation, which is
// read to 64.
inline constexpr size_t kMaxCallDepth = 32;

struct ValueNotation {
  bool bare_keys = false;            // keys stand without quotation marks, strings between <|"|>
  bool ends_with_text = false;       // the end of the text is that of the value
  const Json* properties = nullptr;  // the schema's, of the outermost object: which names are keys
};

class ValueReader {
 public:
  ValueReader(const CallText& text, size_t at, const ValueNotation& notation)
      : in_(text), text_(text.text), at_(at), notation_(notation) {}

  Reading read_object(Json& out);  // at '{', or at '(' for Python's way to call
  Reading read_value(Json& out);
  size_t at() const { return at_; }
  const Repairs& repairs() const { return repairs_; }

 private:
  enum class Place { kKey, kMember, kItem };
  struct Quote {
    std::string_view mark;
    bool escapes;
  };
  struct StringEnd {
    size_t text_end = 0, next = 0;
    bool inner = false, found = false;
  };

  template <class Read>
  Reading exactly_or_mended(const Read& read);
  bool value(Json& out, Place place);
  bool object(Json& out);
  bool list(Json& out);
  template <class ReadElement>
  bool elements(const ReadElement& read_element);
  bool closes(char c);
  bool key(std::string& out);
  bool separator();
  bool word(Json& out, Place place);
  size_t word_end(size_t begin, Place place, size_t& mark_size);
  size_t literal_end(size_t begin, Place place) const;
  size_t lost_opening_end(size_t begin, Place place, size_t& mark_size);
  bool string(const Quote& quote, Place place, std::string& out);
  StringEnd string_end(const Quote& quote, size_t begin, Place place);
  size_t unclosed_end(size_t begin, size_t limit) const;
  std::string unescaped(std::string_view body);

  static const Quote* quote_at(std::string_view text, size_t at);
  bool follows(size_t at, Place place) const;
  bool is_open(char closer) const { return open_.find(closer) != std::string::npos; }
  bool key_at(size_t at, bool strict) const;
  bool member_at(size_t at) const;
  bool is_property(std::string_view name) const;
  size_t comma_before_key(size_t quote, std::string_view mark) const;
  bool at_end() const { return at_ >= text_.size(); }
  bool take(char c);
  void skip() { at_ = skip_space(text_, at_); }
  bool stop(Reading why);
  const CallText& in_;
  std::string_view text_;
  size_t at_;
  ValueNotation notation_;
  bool exact_ = false;  // nothing is mended: the first slip ends the reading
  Repairs repairs_;
  std::string open_;      // the closing brackets that are due, outermost first
  size_t next_mark_ = 0;  // where <|"|> stands next, as far as it was looked for
  Reading failure_ = Reading::kNone;
};

// The value that `raw` is as a whole, where it is one.
std::optional<Json> read_whole_value(std::string_view raw, Repairs& repairs);

}  // namespace longhaul
