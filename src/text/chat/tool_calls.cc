#include "text/chat/tool_calls.h"

#include <algorithm>

#include "text/chat/call_draft.h"
#include "text/chat/loose_values.h"
#include "text/chat/tag_calls.h"

namespace longhaul {
namespace {

constexpr std::string_view kNotInNames = " \t\r\n<>{}()[]\"'`,;";
constexpr std::string_view kStringMark = "<|\"|>";

const Json* find_any(const Json& object, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (const Json* found = object.find(name)) return found;
  }
  return nullptr;
}

// {"name": "f", "arguments": {...}}, or the same inside of {"function": {...}}.
bool read_json_draft(const Json& object, CallDraft& call) {
  const Json* function = object.find("function");
  if (function != nullptr && function->as_object() != nullptr)
    return read_json_draft(*function, call);
  const Json* name = find_any(object, {"name", "function", "tool_name", "tool"});
  if (name == nullptr || name->as_string() == nullptr) return false;
  call.name = *name->as_string();
  const Json* arguments = find_any(object, {"arguments", "parameters", "args", "input"});
  if (arguments == nullptr || arguments->is_null()) return true;
  Json value = *arguments;
  if (const std::string* text = arguments->as_string()) {
    Repairs repairs;
    auto inner = read_whole_value(*text, repairs);
    if (inner && inner->as_object() != nullptr) {
      value = std::move(*inner);
      call.repairs.add(repairs);
    }
  }
  if (value.as_object() == nullptr) value = Json::object({{"arguments", std::move(value)}});
  call.set_all(std::move(value));
  return true;
}

// The arguments inside of the one parameter "arguments", where the function has no such parameter
// but has those inside.
void unnest(Json& arguments, const Json* properties, Repairs& repairs) {
  if (properties == nullptr || arguments.as_object()->size() != 1) return;
  const auto& [name, inner] = arguments.as_object()->front();
  if ((name != "arguments" && name != "input") || properties->find(name) != nullptr ||
      inner.as_object() == nullptr)
    return;
  for (const auto& member : *inner.as_object()) {
    if (properties->find(member.first) == nullptr) return;
  }
  Json unnested = inner;
  arguments = std::move(unnested);
  repairs.add(Repair::kNesting);
}

class BlockReader {
 public:
  BlockReader(const CallText& text, const BlockRules& rules, const Tools& tools)
      : in_(text), text_(text.text), rules_(rules), tools_(tools), bare_names_(rules.bare_names) {}

  CallBlock read() {
    while (out_.reading == Reading::kRead && step()) {
    }
    out_.length = at_;
    return std::move(out_);
  }

 private:
  // The next thing in the block; false at its end.
  bool step();
  Reading call(CallDraft& draft);
  Reading named_call(CallDraft& draft);
  Reading braces_call(CallDraft& draft);
  Reading json_call(CallDraft& draft);
  bool take(CallDraft& draft);
  bool is_credible(const CallDraft& draft) const;
  void skip_leftovers();
  void leave_out();
  size_t next_call(size_t from) const;

  const CallText& in_;
  std::string_view text_;
  const BlockRules& rules_;
  const Tools& tools_;
  CallBlock out_;
  size_t at_ = 0;
  bool bare_names_;
  Repairs repairs_;  // of the block, for its next call
};

bool BlockReader::step() {
  at_ = skip_space(text_, at_);
  if (at_ >= text_.size()) {
    if (!in_.is_whole) out_.reading = Reading::kMore;
    return false;
  }
  if (const size_t close = in_.close_at(at_)) {
    at_ += close;
    return false;
  }
  if (in_.other_at(at_)) return false;
  if (const size_t open = in_.open_at(at_)) {
    at_ += open;
    repairs_.add(Repair::kMarker);
    return true;
  }
  if (in_.is_whole && in_.ends_in_marker(at_)) {
    at_ = text_.size();
    return false;
  }
  const size_t begin = at_;
  CallDraft draft;
  const Reading reading = call(draft);
  if (reading == Reading::kMore) {
    out_.reading = reading;
    return false;
  }
  if (reading == Reading::kCut) {
    out_.notes.push_back(
        {ReplyNote::Kind::kCutOffCall, draft.name, std::string(text_.substr(begin))});
    at_ = text_.size();
    return false;
  }
  if (reading == Reading::kRead && take(draft)) {
    bare_names_ = false;  // a word behind a call is no further one
    return !rules_.unmarked;
  }
  at_ = begin;
  if (rules_.unmarked) {
    out_.reading = Reading::kNone;
  } else {
    leave_out();
  }
  return !rules_.unmarked;
}

// A call as it was read becomes one that is given.
bool BlockReader::take(CallDraft& draft) {
  skip_leftovers();
  draft.repairs.add(repairs_);
  Json arguments = draft.arguments.take();
  unnest(arguments, tools_.properties(draft.name), draft.repairs);
  const bool is_name =
      !draft.name.empty() && draft.name.find_first_of("<>{}\n") == std::string::npos;
  if (!is_name || (rules_.unmarked && !is_credible(draft))) return false;
  if (rules_.unmarked) {
    draft.repairs.add(Repair::kMarker);
    at_ += in_.close_at(skip_space(text_, at_)) > 0
               ? skip_space(text_, at_) - at_ + in_.close_at(skip_space(text_, at_))
               : 0;
  }
  if (!draft.repairs.empty())
    out_.notes.push_back({ReplyNote::Kind::kRepairedCall, draft.name, draft.repairs.words()});
  out_.calls.push_back({draft.name, arguments.dump_spaced()});
  repairs_ = {};
  return true;
}

// Whether a call without its opening marker is meant as one: there is such a function, or, where
// none are known, its closing marker.
bool BlockReader::is_credible(const CallDraft& draft) const {
  if (!tools_.empty()) return tools_.has(draft.name);
  return text_[0] == '<' || in_.close_at(skip_space(text_, at_)) > 0 ||
         text_.substr(0, at_).find(kStringMark) != text_.npos;
}

// Brackets, marks and fences that are left over behind a call.
void BlockReader::skip_leftovers() {
  while (true) {
    const size_t next = skip_space(text_, at_);
    const std::string_view rest = text_.substr(next);
    size_t length = 0;
    if (rest.starts_with(kFence)) {
      length = kFence.size();
      repairs_.add(Repair::kFence);
    } else if (rest.starts_with(kStringMark)) {
      length = kStringMark.size();
      repairs_.add(Repair::kQuotes);
    } else if (!rest.empty() && std::string_view("}])").find(rest[0]) != rest.npos) {
      length = 1;
      repairs_.add(Repair::kBrackets);
    } else if (!rest.empty() && (rest[0] == ',' || rest[0] == ';')) {
      length = 1;
      repairs_.add(Repair::kComma);
    }
    if (length == 0) return;
    at_ = next + length;
  }
}

// What is no call, up to the next thing that may be one or end the block: content.
void BlockReader::leave_out() {
  const size_t end = next_call(at_ + 1);
  const std::string_view piece = text_.substr(at_, end - at_);
  out_.content += piece;
  out_.notes.push_back({ReplyNote::Kind::kUnreadableCall, {}, std::string(piece)});
  at_ = end;
}

size_t BlockReader::next_call(size_t from) const {
  for (size_t i = text_.find('<', from); i < text_.size(); i = text_.find('<', i + 1)) {
    const auto tag = tag_at(text_, i);
    if (in_.marker_at(i) ||
        (tag && !tag->closing && (tag->name == "function" || tag->name == "invoke")))
      return i;
  }
  return text_.size();
}

Reading BlockReader::call(CallDraft& draft) {
  if (text_.substr(at_).starts_with(kFence)) {
    draft.repairs.add(Repair::kFence);
    at_ += kFence.size();
    while (at_ < text_.size() && text_[at_] >= 'a' && text_[at_] <= 'z') ++at_;
    at_ = skip_space(text_, at_);
  }
  if (text_.substr(at_).starts_with('[')) {
    draft.repairs.add(Repair::kBrackets);  // a list of calls
    at_ = skip_space(text_, at_ + 1);
  }
  if (at_ >= text_.size()) return in_.is_whole ? Reading::kCut : Reading::kMore;
  if (text_[at_] == '{') return json_call(draft);
  if (text_[at_] != '<') return named_call(draft);
  const auto tag = tag_at(text_, at_);
  if (!tag || tag->closing || (tag->name != "function" && tag->name != "invoke"))
    return Reading::kNone;
  TagCallReader reader(in_, at_, tools_);
  const Reading reading = reader.read_function(draft);
  at_ = reader.at();
  return reading;
}

Reading BlockReader::json_call(CallDraft& draft) {
  ValueReader reader(in_, at_, {});
  Json object;
  const Reading reading = reader.read_object(object);
  draft.repairs.add(reader.repairs());
  at_ = reader.at();
  if (reading != Reading::kRead) {
    if (const Json* name = object.find("name"); name != nullptr && name->as_string() != nullptr)
      draft.name = *name->as_string();
    return reading;
  }
  return read_json_draft(object, draft) ? Reading::kRead : Reading::kNone;
}

// A call that begins with its function's name, or with "call:" before it.
Reading BlockReader::named_call(CallDraft& draft) {
  const size_t begin = at_;
  const std::string_view rest = text_.substr(at_);
  bool prefix = rest.starts_with("call:");
  if (prefix) {
    at_ += 5;
  } else if (rest.starts_with(':') || rest.starts_with('-')) {
    ++at_;
  }
  at_ = skip_space(text_, at_);
  const size_t name_end = std::min(text_.find_first_of(kNotInNames, at_), text_.size());
  draft.name = text_.substr(at_, name_end - at_);
  const size_t next = skip_space(text_, name_end);
  if (next >= text_.size())
    return !in_.is_whole ? Reading::kMore : prefix || bare_names_ ? Reading::kCut : Reading::kNone;
  if (draft.name.empty()) return Reading::kNone;
  if (text_[next] == '{' || text_[next] == '(') {
    if (!prefix) draft.repairs.add(Repair::kPrefix);
    at_ = next;
    return braces_call(draft);
  }
  if (prefix && in_.marker_at(next)) {
    draft.repairs.add(Repair::kBrackets);  // no arguments, and no braces around them
    at_ = next;
    return Reading::kRead;
  }
  if (prefix || !bare_names_) return Reading::kNone;
  TagCallReader reader(in_, begin, tools_);
  const Reading reading = reader.read_named(draft);
  at_ = reader.at();
  return reading;
}

Reading BlockReader::braces_call(CallDraft& draft) {
  // A name may have others before it: those of its server.
  const size_t last = draft.name.find_last_of(":.");
  if (!tools_.empty() && !tools_.has(draft.name) && last != draft.name.npos &&
      tools_.has(draft.name.substr(last + 1))) {
    draft.name.erase(0, last + 1);
    draft.repairs.add(Repair::kPrefix);
  }
  ValueReader reader(in_, at_, {.bare_keys = true, .properties = tools_.properties(draft.name)});
  Json arguments;
  const Reading reading = reader.read_object(arguments);
  draft.repairs.add(reader.repairs());
  at_ = reader.at();
  if (reading == Reading::kRead) draft.set_all(std::move(arguments));
  return reading;
}

}  // namespace

CallBlock read_call_block(const CallText& text, const BlockRules& rules, const Tools& tools) {
  return BlockReader(text, rules, tools).read();
}

}  // namespace longhaul
