#include "text/chat/reply_markers.h"

#include "text/chat/call_text.h"

namespace longhaul {
namespace {

constexpr size_t kMaxMarker = 400;  // bytes; DSML's tags have attributes

using Kind = Marker::Kind;

Marker tag_marker(const ReplyFormat& format, std::string_view text) {
  const auto tag = tag_at(text, 0);
  if (format.dsml && may_become_dsml_tag(text) && (!tag || !tag->complete))
    return {Kind::kPartial, 0};
  if (!tag || !is_call_tag(*tag) || tag->dsml != format.dsml) return {};
  if (is_dsml_block(*tag)) return {tag->closing ? Kind::kCallClose : Kind::kCallOpen, tag->length};
  const bool is_function = tag->name == (format.dsml ? "invoke" : "function");
  if (format.dsml)
    return {is_function && !tag->closing ? Kind::kFunction : Kind::kInner, tag->length};
  // Tags of plain text: only as the format writes them.
  const std::string_view attributes = tag->attributes;
  const bool named = tag->closing ? tag->complete && attributes.empty()
                                  : attributes.size() > 1 && attributes[0] == '=' &&
                                        kSpace.find(attributes[1]) == kSpace.npos;
  if (!format.function_tags || !named || (!is_function && tag->name != "parameter")) return {};
  return {is_function && !tag->closing ? Kind::kFunction : Kind::kInner, tag->length};
}

// Whether `text` is the beginning of a <function=...> or <parameter=...> tag or its closing one.
bool may_become_function_tag(std::string_view text) {
  for (const std::string_view head : {"<function=", "<parameter=", "</function>", "</parameter>"}) {
    if (text.size() < head.size() ? head.starts_with(text) : text.starts_with(head)) {
      if (text.size() > head.size() && kSpace.find(text[head.size()]) != kSpace.npos) return false;
      return text.size() < kMaxMarker && text.find_first_of(">\n", 1) == text.npos &&
             text.find('<', 1) == text.npos;
    }
  }
  return false;
}

}  // namespace

Marker marker_at(const ReplyFormat& format, std::string_view text) {
  bool partial = false;
  const auto is = [&](std::string_view mark) {
    if (mark.empty()) return false;
    if (text.size() < mark.size() && mark.starts_with(text)) partial = true;
    return text.starts_with(mark);
  };
  if (is(format.think_open)) return {Kind::kThinkOpen, format.think_open.size()};
  if (is(format.think_close)) return {Kind::kThinkClose, format.think_close.size()};
  if (is(format.call_open)) return {Kind::kCallOpen, format.call_open.size()};
  if (is(format.call_close)) return {Kind::kCallClose, format.call_close.size()};
  for (const std::string& mark : format.inner) {
    if (is(mark)) return {Kind::kInner, mark.size()};
  }
  if (format.function_tags && may_become_function_tag(text)) partial = true;
  if (partial) return {Kind::kPartial, 0};
  return format.dsml || format.function_tags ? tag_marker(format, text) : Marker{};
}

bool ends_in_partial_marker(const ReplyFormat& format, std::string_view text) {
  const size_t begin = text.rfind('<');
  if (begin == text.npos || text.size() - begin > kMaxMarker) return false;
  return marker_at(format, text.substr(begin)).kind == Kind::kPartial;
}

}  // namespace longhaul
