#include "text/chat/reply_parser.h"

#include <algorithm>

#include "text/chat/call_text.h"
#include "text/chat/repairs.h"

namespace longhaul {
namespace {

// A call is read again at each of so many closing markers, then only when it has become twice as
// long: its cost stays linear although each may stand in a string.
constexpr int kEagerTries = 8;
constexpr size_t kMaxName = 128, kMaxSpace = 4096;
constexpr std::string_view kNotInNames = " \t\r\n<>{}()[]\"'`,;";
constexpr std::string_view kStringMark = "<|\"|>";

using Kind = Marker::Kind;

}  // namespace

const char* to_string(ReplyNote::Kind kind) {
  static constexpr const char* kNames[] = {"repaired_call", "unreadable_call", "cut_off_call",
                                           "unmade_call",   "more_reasoning",  "stray_marker"};
  return kNames[static_cast<size_t>(kind)];
}

ReplyParser::ReplyParser(ReplyFormat format, Tools tools, bool inside_reasoning)
    : format_(std::move(format)),
      tools_(std::move(tools)),
      state_(inside_reasoning ? State::kReasoning : State::kContent),
      at_start_(!inside_reasoning),
      skip_newlines_(format_.newlines_are_layout) {}

std::vector<ReplyPart> ReplyParser::push(std::string_view text) {
  input_ += text;
  advance();
  if (at_ > input_.size() / 2) {
    input_.erase(0, at_);
    at_ = 0;
  }
  return std::exchange(parts_, {});
}

std::vector<ReplyPart> ReplyParser::finish() {
  is_over_ = true;
  expect_label_ = false;
  advance();
  if (state_ == State::kReasoning) {
    // Nothing closed the reasoning: its last calls are the answer.
    for (const ToolCall& call : unmade_) {
      emit_call(call);
      Repairs repairs;
      repairs.add(Repair::kReasoning);
      note({ReplyNote::Kind::kRepairedCall, call.name, repairs.words()});
    }
  }
  unmade_.clear();
  restore_newlines();
  late_close_ = false;
  emit(std::exchange(lead_, {}));
  return std::exchange(parts_, {});
}

// Takes from the input whatever is decided.
void ReplyParser::advance() {
  while (at_ < input_.size() || (is_over_ && state_ == State::kCall)) {
    if (!step()) break;
  }
}

bool ReplyParser::step() { return state_ == State::kCall ? step_call() : step_text(); }

// --- text and its markers

bool ReplyParser::step_text() {
  if (expect_label_ && !skip_label()) return false;
  const std::string_view text = rest();
  if (text.empty()) return false;
  const size_t candidate = next_candidate(text);
  if (candidate > 0) {
    take(text.substr(0, candidate));
    at_ += candidate;
    return true;
  }
  if (text[0] != '<') {
    const Start start = unmarked_call_at(text);
    if (start == Start::kUndecided && !is_over_) return false;
    if (start == Start::kYes) {
      begin_call(0, /*unmarked=*/true);
    } else {
      word(1);
    }
    return true;
  }
  const Marker marker = marker_at(format_, text);
  if (marker.kind == Kind::kPartial && !is_over_) return false;
  if (marker.kind == Kind::kPartial) {
    end_in_partial_marker();
  } else if (marker.kind == Kind::kNone) {
    word(1);
  } else {
    return state_ == State::kReasoning ? in_reasoning(marker) : in_content(marker);
  }
  return true;
}

// The first place where a marker may begin, or a call without one.
size_t ReplyParser::next_candidate(std::string_view text) const {
  const size_t marker = std::min(text.find('<'), text.size());
  if (state_ != State::kContent) return marker;
  size_t line = at_line_start() ? 0 : text.find('\n');
  while (line < marker) {
    const size_t word = std::min(text.find_first_not_of(" \t\r\n", line), marker);
    if (word < marker && unmarked_call_at(text.substr(word)) != Start::kNo) return word;
    line = text.find('\n', word);
  }
  return marker;
}

// Whether a call stands there without its opening marker: call:f{ in the braces notation, a
// function's name before <arg_key>.
ReplyParser::Start ReplyParser::unmarked_call_at(std::string_view text) const {
  const auto begins = [&](std::string_view mark) {
    return text.starts_with(mark)   ? Start::kYes
           : mark.starts_with(text) ? Start::kUndecided
                                    : Start::kNo;
  };
  if (format_.call_open == "<|tool_call>") {
    static constexpr std::string_view kCall = "call:";
    const Start start = begins(kCall);
    if (start != Start::kYes) return start;
    const size_t name_end = std::min(text.find_first_of(kNotInNames, kCall.size()), text.size());
    if (name_end > kMaxName) return Start::kNo;
    if (name_end == text.size()) return Start::kUndecided;
    return name_end > kCall.size() && (text[name_end] == '{' || text[name_end] == '(') ? Start::kYes
                                                                                       : Start::kNo;
  }
  if (!format_.bare_call_names) return Start::kNo;
  for (const Json& tool : tools_.wrapped()) {
    const std::string& name = *tool.find("function")->find("name")->as_string();
    const Start start = begins(name);
    if (start == Start::kUndecided) return start;
    if (start == Start::kNo) continue;
    const size_t tag = skip_space(text, name.size());
    if (tag - name.size() > 1) continue;  // a line break at most
    const std::string_view behind = text.substr(tag);
    if (std::string_view("<arg_key>").starts_with(behind)) return Start::kUndecided;
    if (behind.starts_with("<arg_key>")) return Start::kYes;
  }
  return Start::kNo;
}

// Drops the label behind an opening marker; false while it is not decided whether one is there.
bool ReplyParser::skip_label() {
  const std::string& label = format_.think_label;
  if (rest().size() < label.size() && label.starts_with(rest())) return false;
  if (rest().starts_with(label)) at_ += label.size();
  expect_label_ = false;
  return true;
}

// The answer ends inside of what may be a marker: a bracket, or one with a letter, is text; more is
// a marker that was cut off.
void ReplyParser::end_in_partial_marker() {
  const std::string_view text = rest();
  const bool is_text = text.size() < 2 || (text.size() == 2 && text[1] >= 'a' && text[1] <= 'z');
  if (is_text) return word(text.size());
  pending_newlines_ = 0;
  drop(text.size());
}

bool ReplyParser::in_reasoning(const Marker& marker) {
  const std::string_view text = rest();
  const bool behind_tick =
      pending_newlines_ == 0 && reply_.reasoning.ends_with('`') && text.size() >= marker.length;
  switch (marker.kind) {
    case Kind::kThinkClose:
      // Reasoning must end, so a closing marker is a word only right between two backticks.
      if (behind_tick && text.size() == marker.length && !is_over_) return false;
      if (behind_tick && text.substr(marker.length).starts_with('`')) {
        word(marker.length);
      } else {
        close_reasoning(marker.length);
      }
      return true;
    case Kind::kCallOpen:
      if (in_code_span()) {
        word(marker.length);
      } else {
        begin_call(marker.length, /*unmarked=*/false);
      }
      return true;
    case Kind::kFunction:
      if (!in_code_span() && format_.calls_end_reasoning) {
        begin_call(0, /*unmarked=*/true);
        return true;
      }
      break;
    default: break;
  }
  if (in_code_span()) {
    word(marker.length);
  } else {
    if (marker.kind == Kind::kThinkOpen) expect_label_ = !format_.think_label.empty();
    if (marker.kind == Kind::kThinkOpen && reply_.reasoning.empty())
      skip_newlines_ = format_.newlines_are_layout;
    drop(marker.length);
  }
  return true;
}

bool ReplyParser::in_content(const Marker& marker) {
  const bool is_call = marker.kind == Kind::kCallOpen || marker.kind == Kind::kFunction;
  // In code markers are words; a call in a fence is a call, because models put such fences around
  // calls.
  if (in_code_span() || (!is_call && pending_newlines_ == 0 && !at_start_ && code_.in_fence())) {
    word(marker.length);
    return true;
  }
  switch (marker.kind) {
    case Kind::kThinkOpen:
      if (at_start_ || format_.think_anywhere || at_line_start()) {
        open_reasoning(marker.length);
      } else {
        ++dropped_opens_;
        drop(marker.length);
      }
      return true;
    case Kind::kThinkClose:
      if (dropped_opens_ > 0) {
        --dropped_opens_;
        drop(marker.length);
      } else {
        close_reasoning(marker.length);
      }
      return true;
    case Kind::kCallOpen: begin_call(marker.length, /*unmarked=*/false); return true;
    case Kind::kFunction: begin_call(0, /*unmarked=*/true); return true;
    default: drop(marker.length); return true;
  }
}

void ReplyParser::open_reasoning(size_t length) {
  if (!at_start_ && !format_.think_anywhere)
    note({ReplyNote::Kind::kStrayMarker, {}, format_.think_open});
  if (late_close_) content_was_reasoning();
  if (!format_.newlines_are_layout) restore_newlines();
  pending_newlines_ = 0;
  lead_.clear();
  at_ += length;
  skip_newlines_ = format_.newlines_are_layout;
  expect_label_ = !format_.think_label.empty();
  state_ = State::kReasoning;
  at_start_ = false;
  code_.begin_line();
  seam_[0] = seam_[1] = true;
  if (!format_.think_anywhere && !reply_.reasoning.empty() && !reply_.reasoning.ends_with('\n'))
    emit("\n");
}

// The end of the reasoning; or, behind content, of more of it: that content was reasoning too, if
// anything follows.
void ReplyParser::close_reasoning(size_t length) {
  const bool was_reasoning = state_ == State::kReasoning;
  const bool blank = !was_reasoning && at_start_;
  if (blank && !(reply_.reasoning.empty() && reply_.content.empty()))
    note({ReplyNote::Kind::kStrayMarker, {}, format_.think_close});
  for (const ToolCall& call : std::exchange(unmade_, {}))
    note({ReplyNote::Kind::kUnmadeCall, call.name, call.arguments});
  if (!blank && !format_.newlines_are_layout) restore_newlines();
  if (was_reasoning) gap_ = pending_newlines_;
  if (!was_reasoning && !blank) late_close_ = true;
  pending_newlines_ = 0;
  lead_.clear();
  at_ += length;
  skip_newlines_ = format_.newlines_are_layout;
  state_ = State::kContent;
  at_start_ = true;
  code_.begin_line();
  seam_[0] = seam_[1] = true;
}

// Leaves out a marker that means nothing where it stands.
void ReplyParser::drop(size_t length) {
  const std::string_view marker = rest().substr(0, length);
  note({ReplyNote::Kind::kStrayMarker, {}, std::string(marker)});
  const bool is_quote = marker == kStringMark;
  at_ += length;
  if (is_quote) take("\"");
  seam_[state_ == State::kContent] = true;
}

void ReplyParser::word(size_t length) {
  // Two steps: taking text must not see the input move.
  const std::string text(rest().substr(0, length));
  at_ += length;
  take(text);
}

bool ReplyParser::in_code_span() const { return pending_newlines_ == 0 && code_.in_span(); }

bool ReplyParser::at_line_start() const {
  return pending_newlines_ > 0 || at_start_ || code_.line_is_blank();
}

// --- calls

void ReplyParser::begin_call(size_t marker_length, bool unmarked) {
  at_ += marker_length;
  around_call_ = state_;
  state_ = State::kCall;
  unmarked_ = unmarked;
  call_begun_ = unmarked;
  call_newlines_ = std::exchange(pending_newlines_, 0);
  searched_ = tried_ = 0;
  n_tries_ = 0;
}

bool ReplyParser::step_call() {
  const std::string_view text = rest();
  if (!call_begun_) {
    const Start start = call_starts(text);
    if (start == Start::kUndecided && !is_over_) return false;
    if (start == Start::kNo) {
      give_up_call();
      return true;
    }
    call_begun_ = true;
  }
  while (!is_over_) {
    const size_t at = text.find('<', searched_);
    searched_ = std::min(at, text.size());
    if (at == text.npos) return false;
    const Marker marker = marker_at(format_, text.substr(at));
    if (marker.kind == Kind::kPartial) return false;
    searched_ = at + std::max(marker.length, size_t{1});
    const bool due = n_tries_ < kEagerTries || searched_ >= 2 * tried_;
    if (due && may_end_at(text.substr(at), marker) && try_block(searched_, /*is_whole=*/false))
      return true;
  }
  return try_block(text.size(), /*is_whole=*/true);
}

// Whether the marker at the beginning of `text` may close the open call.
bool ReplyParser::may_end_at(std::string_view text, const Marker& marker) const {
  if (marker.kind == Kind::kCallClose) return true;
  const auto tag = unmarked_ ? tag_at(text, 0) : std::nullopt;
  return tag && tag->closing && (tag->name == "function" || tag->name == "invoke");
}

// Whether what follows a call's opening marker can be a call. A marker that prose mentions must not
// hold the rest of the answer back.
ReplyParser::Start ReplyParser::call_starts(std::string_view text) const {
  const size_t begin = skip_space(text, 0);
  if (begin > kMaxSpace) return Start::kNo;
  if (begin >= text.size()) return Start::kUndecided;
  const auto tag_starts = [&](size_t at) {
    const std::string_view tag_text = text.substr(at);
    for (const std::string_view head : {"<function", "<invoke", "<arg_key", "</arg_"}) {
      if (head.starts_with(tag_text)) return Start::kUndecided;
      if (tag_text.starts_with(head)) return Start::kYes;
    }
    const Kind kind = marker_at(format_, tag_text).kind;
    if (kind == Kind::kPartial) return Start::kUndecided;
    return kind == Kind::kNone || kind == Kind::kThinkOpen || kind == Kind::kThinkClose
               ? Start::kNo
               : Start::kYes;
  };
  switch (text[begin]) {
    case '<': return tag_starts(begin);
    case '{':
    case '[':
    case '`':
    case ':':
    case '-': return Start::kYes;
    default: break;
  }
  if (text.substr(begin).starts_with("call:")) return Start::kYes;
  // A name, and behind it brackets or tags; one more word where <arg_key> is missing before it.
  size_t at = begin;
  for (int n_words = 0; n_words < 2; ++n_words) {
    const size_t end = std::min(text.find_first_of(kNotInNames, at), text.size());
    if (end == at || end - at > kMaxName) return Start::kNo;
    if (end == text.size()) return Start::kUndecided;
    at = skip_space(text, end);
    if (at - end > kMaxSpace) return Start::kNo;
    if (at == text.size()) return Start::kUndecided;
    if (n_words == 0 && (text[at] == '{' || text[at] == '(')) return Start::kYes;
    if (text[at] == '<') {
      if (n_words == 0) return tag_starts(at);
      const std::string_view tag = text.substr(at);
      static constexpr std::string_view kCloser = "</arg_key>";
      return tag.starts_with(kCloser)   ? Start::kYes
             : kCloser.starts_with(tag) ? Start::kUndecided
                                        : Start::kNo;
    }
    if (!format_.bare_call_names) return Start::kNo;
  }
  return Start::kNo;
}

// Reads the first `length` bytes as the call's block; false where more must come.
bool ReplyParser::try_block(size_t length, bool is_whole) {
  const bool can_reopen = around_call_ == State::kReasoning;
  const CallText text{rest().substr(0, length),
                      {format_.call_open, format_.call_close,
                       can_reopen ? format_.think_close : std::string_view(), format_.dsml},
                      is_whole,
                      &searched_in_vain_};
  CallBlock block =
      read_call_block(text, {.bare_names = format_.bare_call_names, .unmarked = unmarked_}, tools_);
  if (block.reading == Reading::kMore) {
    ++n_tries_;
    tried_ = length;
    return false;
  }
  if (block.reading == Reading::kNone) {
    give_up_call();
  } else {
    take_block(std::move(block));
  }
  return true;
}

void ReplyParser::take_block(CallBlock block) {
  at_ += block.length;
  const bool made = !block.calls.empty();
  const bool goes_on = around_call_ == State::kReasoning && (!format_.calls_end_reasoning || !made);
  state_ = goes_on ? State::kReasoning : State::kContent;
  skip_newlines_ = false;
  seam_[0] = seam_[1] = true;
  for (ReplyNote& n : block.notes) note(std::move(n));
  if (made && goes_on) {
    unmade_.insert(unmade_.end(), block.calls.begin(), block.calls.end());
  } else if (made) {
    if (late_close_) content_was_reasoning();
    for (const ToolCall& call : block.calls) emit_call(call);
    at_start_ = false;
    lead_.clear();
  }
  if (made) {
    skip_newlines_ = block.content.empty();
    code_.begin_line();
  } else if (block.content.empty()) {
    lead_.clear();
  } else {
    pending_newlines_ = call_newlines_;
  }
  take(without_markup(block.content));
  seam_[state_ == State::kContent] = true;
}

// The text of what was no call.
std::string ReplyParser::without_markup(std::string_view text) const {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find('<', at), text.size());
    out += text.substr(at, next - at);
    at = next;
    if (at >= text.size()) break;
    const std::string_view here = text.substr(at);
    const auto tag = tag_at(text, at);
    size_t length = marker_at(format_, here).length;
    if (length == 0 && tag && is_call_tag(*tag)) length = tag->length;
    if (here.starts_with(kStringMark)) out += '"';
    if (length == 0) {
      out += '<';
    } else if (ends_in_partial_marker(format_, out)) {
      out += '\n';
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

// What stands there is no call: its marker means nothing, and what follows is text.
void ReplyParser::give_up_call() {
  state_ = around_call_;
  pending_newlines_ = call_newlines_;
  if (!unmarked_) {
    note({ReplyNote::Kind::kStrayMarker, {}, format_.call_open});
    seam_[state_ == State::kContent] = true;
    return;
  }
  const Marker marker = rest().starts_with('<') ? marker_at(format_, rest()) : Marker{};
  if (marker.length > 0) {
    drop(marker.length);
  } else {
    word(1);
  }
}

// --- what is given

// Text that is no marker.
void ReplyParser::take(std::string_view text) {
  if (skip_newlines_) {
    const size_t word = std::min(text.find_first_not_of('\n'), text.size());
    text.remove_prefix(word);
    if (reply_.content.empty()) gap_ += word;
    if (!text.empty()) skip_newlines_ = false;
  }
  if (at_start_) {
    const size_t word = std::min(text.find_first_not_of(" \t\r\n"), text.size());
    lead_ += text.substr(0, word);
    text.remove_prefix(word);
    if (text.empty()) return;
    at_start_ = false;
    take_words(std::exchange(lead_, {}));
  }
  take_words(text);
}

// Line breaks at the end wait for what follows.
void ReplyParser::take_words(std::string_view text) {
  const bool think_layout = format_.newlines_are_layout && state_ == State::kReasoning;
  const bool may_call = state_ == State::kContent || format_.calls_end_reasoning;
  const size_t limit = think_layout                             ? SIZE_MAX
                       : may_call && !format_.call_open.empty() ? format_.newlines_before_call
                                                                : 0;
  const size_t words = text.find_last_not_of('\n') + 1;  // 0 where there are none
  if (words > 0) {
    restore_newlines();
    emit(text.substr(0, words));
  }
  pending_newlines_ += text.size() - words;
  if (pending_newlines_ > limit) {
    emit(std::string(pending_newlines_ - limit, '\n'));
    pending_newlines_ = limit;
  }
}

void ReplyParser::restore_newlines() {
  emit(std::string(std::exchange(pending_newlines_, 0), '\n'));
}

void ReplyParser::emit(std::string_view text) {
  if (text.empty()) return;
  const bool thinking = state_ == State::kReasoning;
  if (!thinking && late_close_) content_was_reasoning();
  const auto kind = thinking ? ReplyPart::Kind::kReasoning : ReplyPart::Kind::kContent;
  std::string& whole = thinking ? reply_.reasoning : reply_.content;
  std::string piece;
  // Where a marker was taken out, what is left on both sides must not make up another.
  if (std::exchange(seam_[!thinking], false) && ends_in_partial_marker(format_, whole))
    piece = '\n';
  piece += text;
  whole += piece;
  code_.see(piece);
  if (!parts_.empty() && parts_.back().kind == kind) {
    parts_.back().text += piece;
  } else {
    parts_.push_back({kind, std::move(piece), {}});
  }
}

void ReplyParser::emit_call(const ToolCall& call) {
  parts_.push_back({ReplyPart::Kind::kToolCall, {}, call});
  reply_.tool_calls.push_back(call);
}

void ReplyParser::content_was_reasoning() {
  late_close_ = false;
  const bool apart = reply_.reasoning.empty() || reply_.reasoning.ends_with('\n') ||
                     reply_.content.starts_with('\n');
  std::string joint = apart ? "" : std::string(std::max<size_t>(gap_, 1), '\n');
  reply_.reasoning += joint + reply_.content;
  reply_.content.clear();
  gap_ = 0;
  parts_.push_back({ReplyPart::Kind::kContentWasReasoning, std::move(joint), {}});
  note({ReplyNote::Kind::kMoreReasoning, {}, format_.think_close});
}

// Equal notes are one with a count.
void ReplyParser::note(ReplyNote note) {
  const bool counts =
      note.kind == ReplyNote::Kind::kStrayMarker || note.kind == ReplyNote::Kind::kMoreReasoning;
  if (counts) {
    const auto [place, is_new] =
        counted_.emplace(to_string(note.kind) + note.detail, reply_.notes.size());
    if (!is_new) {
      ++reply_.notes[place->second].count;
      return;
    }
  }
  reply_.notes.push_back(std::move(note));
}

}  // namespace longhaul
