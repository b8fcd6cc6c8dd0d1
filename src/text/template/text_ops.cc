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
      const size_t n = decode_at(s, at).n_bytes;
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

Result<std::string> pad_text(Run& run, std::string_view s, int64_t width, char side,
                             std::string_view fill) {
  const int64_t n = count_code_points(s);
  if (width <= n) return std::string(s);
  const int64_t missing = width - n;
  if (missing > static_cast<int64_t>(run.limits().max_output_bytes / 4))
    return run.check_size(UINT64_MAX).take_error();
  LH_RETURN_IF_ERROR(run.check_size(s.size() + static_cast<uint64_t>(missing) * fill.size()));
  int64_t left = side == '<' ? 0 : side == '>' ? missing : missing / 2;
  if (side == 'c') left += missing & width & 1;  // where str.center puts the odd one
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += s;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

std::vector<std::string_view> split_lines(std::string_view s, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode_at(s, at);
    const size_t end = at;
    at += c.n_bytes;
    if (!is_line_break(c.value)) continue;
    if (c.value == '\r' && at < s.size() && s[at] == '\n') ++at;
    lines.push_back(s.substr(begin, (keep_ends ? at : end) - begin));
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
    const CodePoint c = decode_at(s, at);
    if (at_start) flush();
    append_utf8(word, c.value);
    at_start = starts_word(c.value);
    at += c.n_bytes;
  }
  flush();
  return out;
}

}  // namespace longhaul::jinja
