#include "text/chat/reply_parser.h"

#include <algorithm>

#include "text/chat/tool_calls.h"

namespace longhaul {

static constexpr int kNumMarkers = 4;
static constexpr size_t kMaxStretch = 4096;

ReplyParser::ReplyParser(ReplyFormat format, Tools tools, bool inside_reasoning)
    : format_(std::move(format)),
      tools_(std::move(tools)),
      state_(inside_reasoning ? State::kReasoning : State::kContent),
      at_start_(!inside_reasoning),
      skip_newlines_(format_.newlines_are_layout) {}

const std::string& ReplyParser::text_of(Marker marker) const {
  switch (marker) {
    case Marker::kThinkOpen: return format_.think_open;
    case Marker::kThinkClose: return format_.think_close;
    case Marker::kCallOpen: return format_.call_open;
    case Marker::kCallClose: return format_.call_close;
  }
  return format_.think_open;
}

// Which markers mean something where the parser stands.
bool ReplyParser::watched(Marker marker) const {
  if (text_of(marker).empty()) return false;
  switch (marker) {
    case Marker::kThinkOpen: return state_ == State::kContent && (at_start_ || format_.think_anywhere);
    // At the start of content: the model closes what the prompt had closed for it.
    case Marker::kThinkClose: return state_ == State::kReasoning || (state_ == State::kContent && at_start_);
    case Marker::kCallOpen: return state_ == State::kContent || (state_ == State::kReasoning && format_.calls_end_reasoning);
    case Marker::kCallClose: return state_ == State::kCall;
  }
  return false;
}

ReplyParser::Found ReplyParser::next_marker() const {
  Found first;
  for (int i = 0; i < kNumMarkers; ++i) {
    const auto marker = static_cast<Marker>(i);
    if (!watched(marker)) continue;
    const size_t at = held_.find(text_of(marker));
    if (at < first.at) first = {at, marker};
  }
  return first;
}

// The longest end of the held text that begins a marker.
size_t ReplyParser::held_length() const {
  size_t longest = 0;
  for (int i = 0; i < kNumMarkers; ++i) {
    const auto marker = static_cast<Marker>(i);
    if (!watched(marker)) continue;
    const std::string_view text = text_of(marker);
    for (size_t n = std::min(text.size() - 1, held_.size()); n > longest; --n) {
      if (held_.ends_with(text.substr(0, n))) longest = n;
    }
  }
  return longest;
}

// Drops the label behind an opening marker; false while it is not decided whether one is there.
bool ReplyParser::skip_label() {
  const std::string& label = format_.think_label;
  if (held_.size() < label.size() && label.starts_with(held_)) return false;
  if (held_.starts_with(label)) held_.erase(0, label.size());
  expect_label_ = false;
  return true;
}

std::vector<ReplyPart> ReplyParser::push(std::string_view text) {
  // In short stretches: each step moves what is held to the front.
  for (size_t at = 0; at < text.size(); at += kMaxStretch) {
    held_ += text.substr(at, kMaxStretch);
    advance();
  }
  return std::exchange(parts_, {});
}

// Takes from what is held whatever is decided.
void ReplyParser::advance() {
  while (!expect_label_ || skip_label()) {
    const Found found = next_marker();
    if (found.at == std::string::npos) {
      const size_t certain = held_.size() - held_length();
      const bool was_start = at_start_;
      take(std::string_view(held_).substr(0, certain));
      held_.erase(0, certain);
      // The first word takes a marker out of the watch: what was held for it may be text now.
      if (was_start && !at_start_) continue;
      break;
    }
    take(std::string_view(held_).substr(0, found.at));
    held_.erase(0, found.at);
    if (!watched(found.marker)) continue;  // the words before it have made it a word itself
    held_.erase(0, text_of(found.marker).size());
    enter(found.marker);
  }
}

std::vector<ReplyPart> ReplyParser::finish() {
  expect_label_ = false;
  take(held_);
  held_.clear();
  if (state_ == State::kCall) end_call(/*closed=*/false);
  restore_newlines();
  emit(std::exchange(lead_, {}));
  return std::exchange(parts_, {});
}

// Text that is no marker.
void ReplyParser::take(std::string_view text) {
  if (state_ == State::kCall) {
    body_ += text;
    return;
  }
  if (skip_newlines_) {
    const size_t word = std::min(text.find_first_not_of('\n'), text.size());
    text.remove_prefix(word);
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
  const bool think_layout = state_ == State::kReasoning && format_.newlines_are_layout;
  const size_t limit = think_layout ? SIZE_MAX : watched(Marker::kCallOpen) ? format_.newlines_before_call : 0;
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

void ReplyParser::restore_newlines() { emit(std::string(std::exchange(pending_newlines_, 0), '\n')); }

void ReplyParser::enter(Marker marker) {
  switch (marker) {
    case Marker::kThinkOpen:
    case Marker::kThinkClose:
      if (!format_.newlines_are_layout) restore_newlines();
      pending_newlines_ = 0;
      lead_.clear();
      skip_newlines_ = format_.newlines_are_layout;
      expect_label_ = marker == Marker::kThinkOpen && !format_.think_label.empty();
      state_ = marker == Marker::kThinkOpen ? State::kReasoning : State::kContent;
      at_start_ = false;
      return;
    case Marker::kCallOpen:
      call_newlines_ = std::exchange(pending_newlines_, 0);
      state_ = State::kCall;
      return;
    case Marker::kCallClose: end_call(/*closed=*/true); return;
  }
}

void ReplyParser::end_call(bool closed) {
  const std::string body = std::exchange(body_, {});
  const ReadCalls read = read_tool_calls(body, {.closed = closed, .bare_names = format_.bare_call_names}, tools_);
  state_ = State::kContent;
  skip_newlines_ = false;
  for (const ToolCall& call : read.calls) {
    parts_.push_back({ReplyPart::Kind::kToolCall, {}, call});
    reply_.tool_calls.push_back(call);
  }
  if (read.calls.empty()) {
    pending_newlines_ = call_newlines_;
    take(format_.call_open + body + (closed ? format_.call_close : ""));
    return;
  }
  at_start_ = false;
  lead_.clear();
  skip_newlines_ = read.rest.empty();
  take(read.rest);
}

void ReplyParser::emit(std::string_view text) {
  if (text.empty()) return;
  const bool thinking = state_ == State::kReasoning;
  const auto kind = thinking ? ReplyPart::Kind::kReasoning : ReplyPart::Kind::kContent;
  (thinking ? reply_.reasoning : reply_.content) += text;
  if (!parts_.empty() && parts_.back().kind == kind) {
    parts_.back().text += text;
  } else {
    parts_.push_back({kind, std::string(text), {}});
  }
}

}  // namespace longhaul
