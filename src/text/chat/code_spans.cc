#include "text/chat/code_spans.h"

namespace longhaul {

void CodeSpans::see(std::string_view text) {
  for (const char c : text) {
    if (c == '`') {
      if (run_++ == 0) run_began_line_ = blank_;
      blank_ = false;
      continue;
    }
    if (run_ > 0) end_run();
    if (c == '\n') {
      span_ = 0;  // a backtick without its second one is a character of its line
      blank_ = true;
    } else if (c != ' ' && c != '\t') {
      blank_ = false;
    }
  }
}

void CodeSpans::begin_line() {
  if (run_ > 0) end_run();
  span_ = 0;
  blank_ = true;
}

void CodeSpans::end_run() {
  const bool is_fence = run_began_line_ && run_ >= 3;
  if (fence_ > 0) {
    if (is_fence && run_ >= fence_) fence_ = 0;
  } else if (is_fence) {
    fence_ = run_;
  } else if (span_ == 0 || span_ == run_) {
    span_ = span_ == 0 ? run_ : 0;
  }
  run_ = 0;
}

bool CodeSpans::in_fence() const {
  CodeSpans after = *this;
  if (after.run_ > 0) after.end_run();
  return after.fence_ > 0;
}

bool CodeSpans::in_span() const {
  CodeSpans after = *this;
  if (after.run_ > 0) after.end_run();
  return after.span_ > 0 && after.fence_ == 0;
}

}  // namespace longhaul
