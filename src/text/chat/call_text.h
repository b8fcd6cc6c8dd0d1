// The text of a call as its readers see it: its tags, the markers that end it, and the small steps
// that all notations share.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

namespace longhaul {

inline constexpr std::string_view kSpace = " \t\r\n";

inline constexpr std::string_view kFence =
    "```";  // around code in Markdown, and around calls by mistake

inline size_t skip_space(std::string_view text, size_t at) {
  return std::min(text.find_first_not_of(kSpace, at), text.size());
}

inline std::string_view trimmed(std::string_view text) {
  const size_t begin = skip_space(text, 0);
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

// <name attributes>, </name>, and the same with DSML's sign before the name, in whichever bars a
// model writes it.
struct Tag {
  bool closing = false, dsml = false;
  bool complete = true;  // its '>' is there; else it ends where a line or another tag begins
  std::string_view name, attributes;
  size_t length = 0;

  // What follows '=' in <name=value>.
  std::string_view direct_value() const;
  // The value of an attribute in <name key="value">, with whichever quotation marks or none.
  std::optional<std::string_view> attribute(std::string_view key) const;
};
// The tag at text[at], where there is '<' and a name.
std::optional<Tag> tag_at(std::string_view text, size_t at);
// Whether `text`, which begins with '<', may become a DSML tag when more of it comes.
bool may_become_dsml_tag(std::string_view text);

// Whether what stands at text[at], behind a call's opening marker, begins as a call does.
bool begins_call(std::string_view text, size_t at);

// The block that DSML calls stand in: V4's name for it, that of the version before, and what models
// make of them.
bool is_dsml_block(const Tag& tag);
// Any tag of a call, in any notation.
bool is_call_tag(const Tag& tag);

// How reading a part of a call went. kMore: the text ends inside of it and is not the whole. kCut:
// the same, and it is the whole. kNone: it is nothing of the kind.
enum class Reading { kRead, kMore, kCut, kNone };

// The markers that end a call, where they stand outside of its strings. Empty ones mark nothing.
struct CallMarkers {
  std::string_view open, close;  // of calls
  std::string_view other;  // of something else: the end of the reasoning that the call stands in
  bool dsml = false;       // markers may be misspelt as DSML tags may be
};

struct CallText {
  // How far behind a closing marker the end of a string is looked for once one such search was in
  // vain. Without it, an answer of nothing but open strings would be walked to its end for each of
  // them.
  static constexpr size_t kFarthest = 4096;

  std::string_view text;
  CallMarkers markers;
  // No more text will come. Otherwise a string that is still open at the end may be closed by what
  // follows.
  bool is_whole = true;
  bool* searched_in_vain = nullptr;  // of the whole answer

  // Whether the end of a string, in which a marker stands at `limit`, is looked for no farther than
  // `at`.
  bool is_too_far(size_t at, size_t limit) const {
    return searched_in_vain != nullptr && *searched_in_vain && limit < text.size() &&
           at - limit > kFarthest;
  }
  // The end of a string was looked for up to `at` and not found.
  void note_search(size_t at, size_t limit) const {
    if (searched_in_vain != nullptr && limit < at && at - limit > kFarthest)
      *searched_in_vain = true;
  }

  // The length of the marker at text[at], 0 where there is none.
  size_t open_at(size_t at) const { return marker_at(at, markers.open, false); }
  size_t close_at(size_t at) const { return marker_at(at, markers.close, true); }
  size_t other_at(size_t at) const;
  bool marker_at(size_t at) const { return close_at(at) || open_at(at) || other_at(at); }
  // Whether a closing marker stands there and an opening one behind it: no text would have them
  // side by side.
  bool next_call_at(size_t at) const;
  size_t find_close(size_t from) const;  // npos where none is
  // Whether the text ends inside of a marker that begins at text[at].
  bool ends_in_marker(size_t at) const;

 private:
  size_t marker_at(size_t at, std::string_view mark, bool closing) const;
};

}  // namespace longhaul
