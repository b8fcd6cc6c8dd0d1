// Ends the output at the first stop string, also where it spans several tokens: text that may yet
// become one is held back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace longhaul {

class StopText {
 public:
  explicit StopText(std::vector<std::string> stops);

  // Adds text; returns what is certain to belong to the output.
  std::string push(std::string_view text);
  std::string flush();  // the output is over: what was held back belongs to it
  bool found() const { return found_; }

 private:
  size_t held_length() const;

  std::vector<std::string> stops_;
  std::string held_;
  bool found_ = false;
};

}  // namespace longhaul
