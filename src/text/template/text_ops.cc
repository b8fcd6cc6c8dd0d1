#include "text/template/text_ops.h"

#include "text/template/code_points.h"
#include "text/template/rendering.h"
#include "text/template/search.h"

namespace longhaul::jinja {

Result<std::string> replace_text(Run& run, std::string_view s, std::string_view from,
                                 std::string_view to, int64_t max_count) {
  uint64_t left = max_count < 0 ? UINT64_MAX : static_cast<uint64_t>(max_count);
  std::string out;
  size_t at = 0;
  if (from.empty()) {  // between all code points, and at both ends
    for (; left > 0; --left) {
      LH_RETURN_IF_ERROR(run.work());
      LH_RETURN_IF_ERROR(run.check_size(out.size() + to.size() + s.size() - at));
      out += to;
      if (at == s.size()) break;
      const size_t n = utf8_char_at(s, at).size;
      out += s.substr(at, n);
      at += n;
    }
    return out += s.substr(at);
  }
  const TextFinder finder(from);
  for (size_t found; left > 0 && (found = finder.next(s, at)) != s.npos; --left) {
    LH_RETURN_IF_ERROR(run.work());
    LH_RETURN_IF_ERROR(run.check_size(out.size() + to.size() + s.size() - at));
    out += s.substr(at, found - at);
    out += to;
    at = found + from.size();
  }
  return out += s.substr(at);
}

std::vector<std::string_view> split_lines(std::string_view s) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < s.size();) {
    const Utf8Char c = utf8_char_at(s, at);
    const size_t end = at;
    at += c.size;
    if (!is_line_break(c.code_point)) continue;
    if (c.code_point == '\r' && at < s.size() && s[at] == '\n') ++at;
    lines.push_back(s.substr(begin, end - begin));
    begin = at;
  }
  if (begin < s.size()) lines.push_back(s.substr(begin));
  return lines;
}

std::string title_words(std::string_view s, bool (*starts_word)(uint32_t before)) {
  std::string out, word;
  bool at_start = true;
  const auto flush = [&] {
    out += capitalize(word);
    word.clear();
  };
  for (size_t at = 0; at < s.size();) {
    const Utf8Char c = utf8_char_at(s, at);
    if (at_start) flush();
    append_utf8(word, c.code_point);
    at_start = starts_word(c.code_point);
    at += c.size;
  }
  flush();
  return out;
}

}  // namespace longhaul::jinja
