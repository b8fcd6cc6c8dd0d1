// Where a text that comes piece by piece is code, as Markdown marks it: a word there is quoted, not
// meant.
#pragma once

#include <cstddef>
#include <string_view>

namespace longhaul {

class CodeSpans {
 public:
  void see(std::string_view text);
  // What comes is at the beginning of a line.
  void begin_line();

  bool in_fence() const;  // between lines of ``` or more
  bool in_span() const;   // between ` and ` on one line
  bool line_is_blank() const { return blank_; }

 private:
  void end_run();

  size_t run_ = 0;  // backticks at the end of the text so far
  bool run_began_line_ = false;
  size_t span_ = 0, fence_ = 0;  // backticks that opened what is open
  bool blank_ = true;
};

}  // namespace longhaul
