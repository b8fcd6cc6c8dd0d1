#include "generate/stop_text.h"

#include <algorithm>

namespace longhaul {

StopText::StopText(std::vector<std::string> stops) : stops_(std::move(stops)) {
  stops_.erase(std::remove(stops_.begin(), stops_.end(), std::string()), stops_.end());
}

// The longest end of the held text that begins a stop string.
size_t StopText::held_length() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > longest; --n) {
      if (std::string_view(held_).substr(held_.size() - n) == std::string_view(stop).substr(0, n))
        longest = n;
    }
  }
  return longest;
}

std::string StopText::push(std::string_view text) {
  if (found_) return {};
  held_ += text;
  size_t at = std::string::npos;
  for (const std::string& stop : stops_) at = std::min(at, held_.find(stop));
  size_t certain = held_.size() - held_length();
  if (at != std::string::npos) {
    found_ = true;
    certain = at;
  }
  std::string out = held_.substr(0, certain);
  held_.erase(0, certain);
  return out;
}

std::string StopText::flush() { return found_ ? std::string() : std::move(held_); }

}  // namespace longhaul
