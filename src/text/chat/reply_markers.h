// The markers of a reply's format where they stand in a text.
#pragma once

#include <string_view>

#include "text/chat/reply_format.h"

namespace longhaul {

struct Marker {
  enum class Kind {
    kNone,
    kPartial,  // the text ends before it is decided
    kThinkOpen,
    kThinkClose,
    kCallOpen,
    kCallClose,
    kFunction,  // a call's own opening tag: its marker, where it has none before it
    kInner,     // a mark inside of calls
  };
  Kind kind = Kind::kNone;
  size_t length = 0;
};

// At the beginning of `text`, which is '<'.
Marker marker_at(const ReplyFormat& format, std::string_view text);

// Whether more text could make a marker of the text's end.
bool ends_in_partial_marker(const ReplyFormat& format, std::string_view text);

}  // namespace longhaul
