#include "text/template/lexer.h"

#include <charconv>
#include <cstdlib>

#include "text/template/code_points.h"
#include "text/template/limits.h"
#include "text/template/string_literal.h"

namespace longhaul::jinja {
namespace {

// Newlines become '\n', and one at the very end is not part of the template.
std::string normalize(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? true
                                                : c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view where)
      : text_(normalize(source)), s_(text_), where_(where) {}

  Result<std::vector<Token>> run() {
    while (pos_ < s_.size()) LH_RETURN_IF_ERROR(root());
    push(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  Error fail(std::string_view message) const {
    return corrupt("{}:{}: {}", where_, line_, message);
  }

  Token& push(TokenKind kind, std::string text) {
    tokens_.push_back({kind, line_, std::move(text)});
    return tokens_.back();
  }

  void advance(size_t to) {
    for (; pos_ < to; ++pos_) line_ += s_[pos_] == '\n';
  }

  bool at(size_t pos, std::string_view what) const { return s_.substr(pos, what.size()) == what; }
  size_t skip_space(size_t pos) const {
    while (pos < s_.size()) {
      const Utf8Char c = utf8_char_at(s_, pos);
      if (!is_space(c.code_point)) break;
      pos += c.size;
    }
    return pos;
  }

  // Text up to the next tag, then the tag's opening.
  Status root() {
    const size_t begin = pos_;
    size_t open = begin;
    for (;; ++open) {
      open = s_.find('{', open);
      if (open == s_.npos || at(open, "{{") || at(open, "{%") || at(open, "{#")) break;
    }
    if (open == s_.npos) {
      push(TokenKind::kData, std::string(s_.substr(begin)));
      advance(s_.size());
      return {};
    }
    const char kind = s_[open + 1];
    size_t inside = open + 2;
    const char sign =
        inside < s_.size() && (s_[inside] == '-' || s_[inside] == '+') ? s_[inside] : 0;
    push_data(begin, open, sign, kind != '{');
    advance(open);
    if (sign) ++inside;
    if (kind == '#') return comment(inside);
    if (kind == '%') {
      if (const size_t body = raw_begin(inside)) return raw(body);
    }
    push(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, "");
    advance(inside);
    return expression(kind == '{');
  }

  // The text before a tag, less the whitespace that the tag's sign or lstrip_blocks takes away.
  void push_data(size_t begin, size_t end, char sign, bool is_block) {
    std::string_view data = s_.substr(begin, end - begin);
    if (sign == '-') {
      data = strip_right(data);
    } else if (sign != '+' && is_block) {
      const size_t newline = data.rfind('\n');
      const size_t line_begin = newline == data.npos ? 0 : newline + 1;
      const bool from_line_start = line_begin > 0 || begin == 0 || s_[begin - 1] == '\n';
      if (from_line_start && skip_space(begin + line_begin) >= end)
        data = data.substr(0, line_begin);
    }
    if (!data.empty()) push(TokenKind::kData, std::string(data));
  }

  // The position behind a tag's end, which stands at `pos`: "-%}" swallows space, "%}" one newline,
  // "+%}" none. 0 where no end stands there.
  size_t tag_end(size_t pos, std::string_view end, bool trims_newline) const {
    if (s_.substr(pos, 1) == "-" && at(pos + 1, end)) return skip_space(pos + 1 + end.size());
    if (trims_newline && s_.substr(pos, 1) == "+" && at(pos + 1, end)) return pos + 1 + end.size();
    if (!at(pos, end)) return 0;
    pos += end.size();
    return trims_newline && pos < s_.size() && s_[pos] == '\n' ? pos + 1 : pos;
  }

  Status comment(size_t pos) {
    for (; pos < s_.size(); ++pos) {
      if (const size_t behind = tag_end(pos, "#}", true)) {
        advance(behind);
        return {};
      }
    }
    return fail("a comment is not closed");
  }

  // Behind "raw %}" where that stands at pos, else 0. This end keeps its newline.
  size_t raw_begin(size_t pos) const {
    pos = skip_space(pos);
    if (!at(pos, "raw")) return 0;
    return tag_end(skip_space(pos + 3), "%}", false);
  }

  Status raw(size_t begin) {
    advance(begin);
    for (size_t open = begin; (open = s_.find("{%", open)) != s_.npos; ++open) {
      size_t pos = open + 2;
      const char sign = pos < s_.size() && (s_[pos] == '-' || s_[pos] == '+') ? s_[pos] : 0;
      pos = skip_space(sign ? pos + 1 : pos);
      if (!at(pos, "endraw")) continue;
      if (const size_t behind = tag_end(skip_space(pos + 6), "%}", true)) {
        push_data(begin, open, sign, true);
        advance(behind);
        return {};
      }
    }
    return fail("a raw block is not closed");
  }

  // Tokens up to the tag's end. Inside brackets a "}}" or "%}" is no end.
  Status expression(bool is_output) {
    const std::string_view end = is_output ? "}}" : "%}";
    while (true) {
      advance(skip_space(pos_));
      if (pos_ >= s_.size()) return fail("a tag is not closed");
      if (open_.empty()) {
        if (const size_t behind = tag_end(pos_, end, !is_output)) {
          push(is_output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, "");
          advance(behind);
          return {};
        }
      }
      LH_RETURN_IF_ERROR(token());
    }
  }

  Status token() {
    const char c = s_[pos_];
    if (is_digit(c)) return number();
    if (is_name_start(c)) {
      size_t end = pos_;
      while (end < s_.size() && (is_name_start(s_[end]) || is_digit(s_[end]))) ++end;
      push(TokenKind::kName, std::string(s_.substr(pos_, end - pos_)));
      advance(end);
      return {};
    }
    if (c == '\'' || c == '"') return string(c);
    return op();
  }

  Status string(char quote) {
    size_t end = pos_ + 1;
    while (end < s_.size() && s_[end] != quote) end += s_[end] == '\\' ? 2 : 1;
    if (end >= s_.size()) return fail("a string is not closed");
    auto value = unescape_literal(s_.substr(pos_ + 1, end - pos_ - 1));
    if (!value.ok()) return in_context(fmt::format("{}:{}", where_, line_), value.take_error());
    push(TokenKind::kString, std::move(*value));
    advance(end + 1);
    return {};
  }

  // Digits, with a fraction behind them or none.
  Status number() {
    const auto digits_end = [&](size_t pos) {
      while (pos < s_.size() && is_digit(s_[pos])) ++pos;
      return pos;
    };
    size_t end = digits_end(pos_);
    const bool is_subscript = pos_ > 0 && s_[pos_ - 1] == '.';  // a.0.1 has two
    const bool is_float =
        !is_subscript && end + 1 < s_.size() && s_[end] == '.' && is_digit(s_[end + 1]);
    if (is_float) end = digits_end(end + 1);
    const std::string spelled(s_.substr(pos_, end - pos_));
    if (end < s_.size() && is_name_start(s_[end]))
      return fail(
          fmt::format("a number is digits, with a fraction or without, not '{}...'", spelled));
    if (is_float) {
      push(TokenKind::kFloat, spelled).real = std::strtod(spelled.c_str(), nullptr);
    } else {
      if (spelled[0] == '0' && spelled.find_first_not_of('0') != spelled.npos)
        return fail("an integer starts with 0");
      int64_t value = 0;
      const char* const stop = spelled.data() + spelled.size();
      if (std::from_chars(spelled.data(), stop, value).ec != std::errc())
        return fail("an integer does not fit 64 bits");
      push(TokenKind::kInteger, spelled).integer = value;
    }
    advance(end);
    return {};
  }

  Status op() {
    static constexpr std::string_view kOperators[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view o : kOperators) {
      if (!at(pos_, o)) continue;
      if (o == "(" || o == "[" || o == "{") open_ += o == "(" ? ')' : o == "[" ? ']' : '}';
      if (o == ")" || o == "]" || o == "}") {
        if (open_.empty()) return fail(fmt::format("unexpected '{}'", o));
        if (open_.back() != o[0])
          return fail(fmt::format("unexpected '{}', expected '{}'", o, open_.back()));
        open_.pop_back();
      }
      push(TokenKind::kOperator, std::string(o));
      advance(pos_ + o.size());
      return {};
    }
    return fail("unexpected character in a tag");
  }

  std::string text_;
  std::string_view s_;
  std::string_view where_;
  size_t pos_ = 0;
  int line_ = 1;
  std::string open_;  // closing brackets that are due
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, std::string_view where) {
  if (source.size() > kMaxSourceBytes) {
    return make_error(ErrorCode::kOverBudget, "{}: a template of {} bytes; at most {} are read",
                      where, source.size(), kMaxSourceBytes);
  }
  if (find_invalid_utf8(source)) return corrupt("{}: the template is not valid UTF-8", where);
  return Lexer(source, where).run();
}

}  // namespace longhaul::jinja
