#include "cost/report_text.h"

#include <fmt/format.h>

#include <sstream>

namespace longhaul {

std::string duration_text(double seconds) {
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 99.5) return fmt::format("{:.{}f} s", seconds, seconds < 9.95 ? 1 : 0);
  if (seconds < 99.5 * 60) return fmt::format("{:.0f}min", seconds / 60);
  return fmt::format("{:.{}f} h", seconds / 3600, seconds < 99.5 * 3600 ? 1 : 0);
}

std::string speed_text(double tokens_per_second) {
  return fmt::format("{:.{}f}", tokens_per_second, tokens_per_second < 99.95 ? 1 : 0);
}

std::string wrapped(std::string_view text, size_t indent) {
  std::string out;
  const auto break_line = [&] { out += "\n" + std::string(indent, ' '); };
  std::istringstream lines{std::string(text)};
  bool is_first = true;
  for (std::string line; std::getline(lines, line); is_first = false) {
    if (!is_first) break_line();
    std::istringstream words(line);
    size_t width = indent;
    for (std::string word; words >> word; width += word.size()) {
      if (width > indent && width + 1 + word.size() > kReportColumns) {
        break_line();
        width = indent;
      }
      if (width == indent) {
        out += word;
      } else {
        out += " " + word;
        ++width;
      }
    }
  }
  return out;
}

}  // namespace longhaul
