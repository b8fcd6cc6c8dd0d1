#include "text/chat/tag_calls.h"

#include <fmt/format.h>

#include "text/chat/loose_values.h"
#include "text/chat/typed_values.h"

namespace longhaul {
namespace {

constexpr std::string_view kNotInNames = " \t\r\n<>{}()[]\"'`,;";

bool is_function(const Tag& tag) { return tag.name == "function" || tag.name == "invoke"; }
bool is_parameter(const Tag& tag) { return tag.name == "parameter" || tag.name == "param"; }
bool is_key_or_value(const Tag& tag) { return tag.name == "arg_key" || tag.name == "arg_value"; }

bool opens(const Tag& tag, std::string_view name) { return !tag.closing && tag.name == name; }
bool closes(const Tag& tag, std::string_view name) { return tag.closing && tag.name == name; }

// The name that a tag gives to its function or parameter, in either way to write it.
std::string_view name_in(const Tag& tag) {
  const std::string_view direct = tag.direct_value();
  if (!direct.empty()) return direct;
  return tag.attribute("name").value_or(std::string_view());
}

// As the format writes the tag.
std::string spelled(const Tag& tag, std::string_view name) {
  if (tag.closing) return fmt::format("</{}{}>", tag.dsml ? "｜DSML｜" : "", tag.name);
  if (!tag.dsml) return fmt::format("<{}={}>", tag.name, name);
  const auto is_text = tag.attribute("string");
  return fmt::format(
      "<｜DSML｜{} name=\"{}\"{}>", tag.name, name,
      tag.name == "invoke" ? "" : fmt::format(" string=\"{}\"", is_text && *is_text == "true"));
}

bool is_exact(std::string_view text, size_t at, const Tag& tag, std::string_view name) {
  return text.substr(at, tag.length) == spelled(tag, name) &&
         tag.name == (tag.dsml ? (is_function(tag) ? "invoke" : "parameter")
                               : (is_function(tag) ? "function" : "parameter"));
}

std::string_view without_one_newline_around(std::string_view text) {
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

// A closing tag that was meant for this value: a wrong sign, a letter too many, no end.
bool nearly_closes(const Tag& tag, const Tag& opener) {
  return tag.closing && tag.name.starts_with(opener.name.substr(0, 5));
}

}  // namespace

Reading TagCallReader::read_function(CallDraft& call) {
  const auto tag = tag_at(text_, at_);
  const std::string_view name = trimmed(name_in(*tag));
  if (name.empty() || name.find_first_of("<>{}\n") != name.npos) return Reading::kNone;
  if (at_ + tag->length >= text_.size() && !tag->complete) return at_end();
  if (!is_exact(text_, at_, *tag, name)) call.repairs.add(Repair::kTag);
  call.name = name;
  properties_ = tools_.properties(name);
  for (at_ = skip_space(text_, at_ + tag->length); at_ < text_.size();
       at_ = skip_space(text_, at_)) {
    if (ends_in_tag()) return at_end();
    const auto next = tag_at(text_, at_);
    Reading reading = Reading::kRead;
    if (in_.marker_at(at_) ||
        (next && !next->closing && is_function(*next) && !next->attributes.ends_with('/'))) {
      call.repairs.add(Repair::kTag);  // the call's own closing tag is missing
      return Reading::kRead;
    }
    if (!next) {
      if (text_[at_] != '{' || !call.arguments.empty()) return Reading::kNone;
      reading = json_arguments(call);
    } else if (next->closing && is_function(*next)) {
      if (!is_exact(text_, at_, *next, {}) || next->dsml != tag->dsml)
        call.repairs.add(Repair::kTag);
      at_ += next->length;
      return Reading::kRead;
    } else if (!next->closing && (is_parameter(*next) || is_function(*next))) {
      reading = parameter(*next, call);
    } else if (next->closing && is_call_tag(*next) && !is_dsml_block(*next)) {
      call.repairs.add(Repair::kTag);  // a closing tag too many
      at_ += next->length;
    } else {
      return Reading::kNone;
    }
    if (reading != Reading::kRead) return reading;
  }
  return at_end();
}

Reading TagCallReader::parameter(const Tag& tag, CallDraft& call) {
  const std::string key(trimmed(name_in(tag)));
  if (key.empty() || key.find_first_of("<>\n") != key.npos) return Reading::kNone;
  const auto is_text = tag.attribute("string");
  if (tag.attributes.ends_with('/')) {
    // <invoke name="k" string="v" />, a parameter whose value stands in the tag.
    call.repairs.add(Repair::kTag);
    call.set(key, Json(is_text.value_or(std::string_view())));
    at_ += tag.length;
    return Reading::kRead;
  }
  if (is_function(tag)) return Reading::kNone;
  if (!is_exact(text_, at_, tag, key)) call.repairs.add(Repair::kTag);
  at_ += tag.length;
  const ValueEnd end = value_end(tag);
  if (end.reading != Reading::kRead) return end.reading;
  if (!end.closed) call.repairs.add(Repair::kTag);
  std::string_view raw = text_.substr(at_, end.end - at_);
  if (!tag.dsml || !tag.complete) {
    raw = without_one_newline_around(raw);
  } else if (!end.closed && raw.ends_with('\n')) {
    raw.remove_suffix(1);
  }
  const WrittenAs written_as = is_text && *is_text == "true"    ? WrittenAs::kText
                               : is_text && *is_text == "false" ? WrittenAs::kJson
                                                                : WrittenAs::kUnknown;
  call.set(key,
           typed_value(raw, written_as, properties_ == nullptr ? nullptr : properties_->find(key),
                       call.repairs));
  at_ = end.next;
  return Reading::kRead;
}

Reading TagCallReader::read_named(CallDraft& call) {
  const size_t name_end = std::min(text_.find_first_of(kNotInNames, at_), text_.size());
  call.name = text_.substr(at_, name_end - at_);
  if (call.name.empty()) return Reading::kNone;
  const auto after_name = tag_at(text_, name_end);
  size_t next = name_end;
  const std::string_view known = tools_.longest_name(call.name);
  if (after_name && closes(*after_name, "arg_key") && !known.empty() && known != call.name) {
    // The opening <arg_key> is missing: a function that there is tells where the name ends.
    call.name = known;
    next = at_ + call.name.size();
  }
  properties_ = tools_.properties(call.name);
  bool any = false;
  for (at_ = skip_space(text_, next); at_ < text_.size(); at_ = skip_space(text_, at_)) {
    if (in_.close_at(at_)) return Reading::kRead;
    if (in_.marker_at(at_)) {
      // Some models write the opening marker once more where the first <arg_key> belongs.
      const size_t open = in_.open_at(at_);
      const size_t key = at_ + open, key_end = std::min(text_.find('<', key), text_.size());
      const auto closer = open > 0 && !any ? tag_at(text_, key_end) : std::nullopt;
      if (!closer || !closes(*closer, "arg_key")) return any ? Reading::kRead : Reading::kNone;
      at_ = key;
    }
    if (ends_in_tag()) return at_end();
    const auto tag = tag_at(text_, at_);
    if (tag && tag->closing && is_key_or_value(*tag)) {
      call.repairs.add(Repair::kTag);
      at_ += tag->length;
      continue;
    }
    if (tag && !opens(*tag, "arg_key")) return Reading::kNone;
    if (!tag && text_[at_] == '{' && !any) {
      const Reading reading = json_arguments(call);
      if (reading != Reading::kRead) return reading;
      return Reading::kRead;
    }
    const Reading reading = key_and_value(call);
    if (reading != Reading::kRead) return reading;
    any = true;
  }
  return at_end();
}

// <arg_key>k</arg_key> <arg_value>v</arg_value>, one of the tags perhaps missing.
Reading TagCallReader::key_and_value(CallDraft& call) {
  const auto tag = tag_at(text_, at_);
  if (tag) {
    at_ += tag->length;
  } else {
    call.repairs.add(Repair::kTag);
  }
  const size_t key_end = text_.find('<', at_);
  if (key_end == text_.npos) return tag ? at_end() : Reading::kNone;
  const std::string key(trimmed(text_.substr(at_, key_end - at_)));
  if (text_.find('>', key_end) == text_.npos) return tag ? at_end() : Reading::kNone;
  const auto behind_key = tag_at(text_, key_end);
  if (!tag && key.find_first_of(kSpace) != key.npos) return Reading::kNone;
  if (!behind_key || key.empty()) return Reading::kNone;
  if (closes(*behind_key, "arg_key")) {
    at_ = skip_space(text_, key_end + behind_key->length);
  } else if (tag && opens(*behind_key, "arg_value")) {
    call.repairs.add(Repair::kTag);
    at_ = key_end;
  } else {
    return Reading::kNone;
  }
  if (at_ >= text_.size()) return at_end();
  const auto again = tag_at(text_, at_);
  if (again && opens(*again, "arg_key")) {
    call.repairs.add(Repair::kTag);  // the key once more
    return Reading::kRead;
  }
  const auto value_tag = tag_at(text_, at_);
  Tag opener;
  opener.name = "arg_value";
  const bool opened = value_tag && opens(*value_tag, "arg_value");
  if (opened) {
    at_ += value_tag->length;
  } else {
    call.repairs.add(Repair::kTag);
  }
  const ValueEnd end = value_end(opener);
  if (end.reading != Reading::kRead) return end.reading;
  std::string_view raw = text_.substr(at_, end.end - at_);
  if (!opened && trimmed(raw).empty()) return Reading::kNone;
  if (!end.closed) {
    call.repairs.add(Repair::kTag);
    if (raw.ends_with('\n')) raw.remove_suffix(1);
  }
  call.set(key,
           typed_value(raw, WrittenAs::kUnknown,
                       properties_ == nullptr ? nullptr : properties_->find(key), call.repairs));
  at_ = end.next;
  return Reading::kRead;
}

Reading TagCallReader::json_arguments(CallDraft& call) {
  call.repairs.add(Repair::kTag);
  ValueReader reader(in_, at_, {.properties = properties_});
  Json object;
  const Reading reading = reader.read_object(object);
  call.repairs.add(reader.repairs());
  at_ = reader.at();
  if (reading == Reading::kRead) call.set_all(std::move(object));
  return reading;
}

// Where the value ends that begins at at_, behind its opening tag.
TagCallReader::ValueEnd TagCallReader::value_end(const Tag& opener) const {
  // The first of what may be its end, should no closing tag have it: a closing tag before text, the
  // function's, a marker.
  size_t limit = text_.npos;
  const auto cut = [&](size_t at) {
    in_.note_search(at, limit);
    return ValueEnd{Reading::kRead, std::min(limit, at), std::min(limit, at), false};
  };
  for (size_t i = text_.find('<', at_); i < text_.size(); i = text_.find('<', i)) {
    if (i > limit && in_.is_too_far(i, limit)) return cut(limit);
    if (const size_t close = in_.close_at(i)) {
      if (in_.next_call_at(i)) return cut(i);
      limit = std::min(limit, i);
      i += close;
      continue;
    }
    const auto tag = tag_at(text_, i);
    if (quotes_call_at(opener, tag, i)) {
      if (in_.is_whole) {
        // Everything has come and the value is not closed: it was no quotation.
        limit = std::min(limit, i++);
        continue;
      }
      i = quoted_end(opener, i);
      if (i == text_.npos) return {Reading::kMore};
      continue;
    }
    if (in_.other_at(i)) limit = std::min(limit, i);
    if (!tag) {
      ++i;
      continue;
    }
    if (nearly_closes(*tag, opener)) {
      const bool own = tag->name == opener.name && tag->dsml == opener.dsml && tag->complete &&
                       tag->attributes.empty();
      if (at_structure(i + tag->length, *tag, opener))
        return {Reading::kRead, i, i + tag->length, own};
      if (own) limit = std::min(limit, i);
    } else if (is_next_parameter(opener, *tag, i)) {
      return cut(i);
    } else if (ends_function(*tag, opener)) {
      limit = std::min(limit, i);
      const size_t next = skip_space(text_, i + tag->length);
      const auto after = tag_at(text_, next);
      if (in_.next_call_at(next) ||
          (after && !after->closing && is_function(*after) && after->dsml == tag->dsml))
        return cut(i);
    }
    i += tag->length;
  }
  if (!in_.is_whole) return {Reading::kMore};
  return limit == text_.npos ? ValueEnd{Reading::kCut} : cut(text_.size());
}

// Whether a value quotes a call that begins at text[at].
bool TagCallReader::quotes_call_at(const Tag& opener, const std::optional<Tag>& tag,
                                   size_t at) const {
  if (const size_t open = in_.open_at(at)) return begins_call(text_, at + open);
  return opener.name != "arg_value" && tag && !tag->closing && is_function(*tag) &&
         tag->dsml == opener.dsml && !name_in(*tag).empty();
}

// Behind the call that begins at text[at]; npos where it does not end.
size_t TagCallReader::quoted_end(const Tag& opener, size_t at) const {
  if (const size_t open = in_.open_at(at)) {
    const size_t end = in_.find_close(at + open);
    return end == text_.npos ? end : end + in_.close_at(end);
  }
  for (size_t i = text_.find('<', at + 1); i < text_.size(); i = text_.find('<', i + 1)) {
    const auto inner = tag_at(text_, i);
    if (inner && ends_function(*inner, opener)) return i + inner->length;
  }
  return text_.npos;
}

bool TagCallReader::ends_function(const Tag& tag, const Tag& opener) {
  return tag.closing && is_function(tag) && tag.dsml == opener.dsml && opener.name != "arg_value";
}

// Whether a tag inside of a value opens the next parameter: written as this value's own and in
// full, and where tags are plain text, on a line of its own or where the function is known.
bool TagCallReader::is_next_parameter(const Tag& opener, const Tag& tag, size_t at) const {
  if (tag.closing || tag.dsml != opener.dsml) return false;
  if (opener.name == "arg_value") {
    if (tag.name != "arg_key") return false;
    const size_t begin = at + tag.length, end = text_.find('<', begin);
    const auto closer = tag_at(text_, end);
    return closer && closes(*closer, "arg_key") &&
           may_be_parameter(trimmed(text_.substr(begin, end - begin)));
  }
  if (!is_parameter(tag)) return false;
  const std::string_view name = trimmed(name_in(tag));
  if (name.empty() || tag.direct_value().empty() != opener.direct_value().empty()) return false;
  return may_be_parameter(name) && (tag.dsml || begins_line(at) || properties_ != nullptr);
}

// Whether the function may have such a parameter.
bool TagCallReader::may_be_parameter(std::string_view name) const {
  return properties_ == nullptr || properties_->find(name) != nullptr;
}

// Whether what stands at text[at] can follow the tag that closes a value. The tags there are in the
// writing of either of the value's.
bool TagCallReader::at_structure(size_t at, const Tag& closer, const Tag& opener) const {
  const size_t next = skip_space(text_, at);
  if (next >= text_.size()) return in_.is_whole;
  if (in_.marker_at(next)) return true;
  const auto tag = tag_at(text_, next);
  return tag && is_call_tag(*tag) && (tag->dsml == closer.dsml || tag->dsml == opener.dsml);
}

// Whether the text ends inside of the tag that stands here.
bool TagCallReader::ends_in_tag() const {
  return text_[at_] == '<' && text_.find('>', at_) == text_.npos;
}

bool TagCallReader::begins_line(size_t at) const {
  while (at > 0 && (text_[at - 1] == ' ' || text_[at - 1] == '\t')) --at;
  return at == 0 || text_[at - 1] == '\n';
}

}  // namespace longhaul
