// Oniguruma (Ruby syntax, UTF-8) to PCRE2 (UTF, UCP, MULTILINE), where the two read the same text
// differently:
//
//   Oniguruma             meaning there              PCRE2
//   \s \S                 White_Space                \p{White_Space}: its own \s also takes U+180E
//   \w                    word characters            spelled out (kWord): its own \w lacks marks
//   before 10.43 \h                    hex digit                  [0-9A-Fa-f]: its own \h is a
//   blank \p{Han}               script                     \p{sc:Han}: its own \p{Han} takes script
//   extensions \p{Letter}            general category           \p{L}: long names are unknown
//   {,n}                  {0,n}                      a literal before 10.43
//   \uHHHH                code point                 \x{HHHH}
//   [a&&b] [a[b]] [[:x:]] set operations             refused
//   x{n,m}+               repeats x{n,m}             would be possessive: refused
//   (?m) (?x) (?<n>..)    other meanings, or useless refused, as are back references
#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer/regex.h"

namespace longhaul {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kLongNames = {{
    {"Letter", "L"},
    {"Mark", "M"},
    {"Number", "N"},
    {"Punctuation", "P"},
    {"Symbol", "S"},
    {"Separator", "Z"},
    {"Other", "C"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Decimal_Number", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Space_Separator", "Zs"},
    {"Control", "Cc"},
}};
constexpr std::array<std::string_view, 31> kCategories = {
    "L",  "M",  "N",  "P",  "S",  "Z",  "C",  "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd",
    "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Cc"};
constexpr std::array<std::string_view, 20> kScripts = {
    "Han",      "Hiragana", "Katakana", "Hangul",     "Latin",   "Cyrillic", "Greek",
    "Arabic",   "Hebrew",   "Thai",     "Devanagari", "Bengali", "Tamil",    "Telugu",
    "Armenian", "Georgian", "Khmer",    "Lao",        "Tibetan", "Bopomofo"};

// Oniguruma's word characters, found by asking it about every code point: letters, marks, digits,
// connectors, and some signs.
constexpr std::string_view kWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\xB2\xB3\xB9\xBC-\xBE\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";

template <class List>
bool contains(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

class Translator {
 public:
  explicit Translator(std::string_view in) : in_(in) {}

  Result<std::string> run() {
    while (pos_ < in_.size()) {
      const size_t before = pos_;
      if (in_[pos_] == '\\') {
        LH_RETURN_IF_ERROR(escape(false));
      } else if (in_[pos_] == '[') {
        LH_RETURN_IF_ERROR(char_class());
      } else if (in_[pos_] == '(') {
        LH_RETURN_IF_ERROR(group());
      } else if (in_[pos_] == '{') {
        LH_RETURN_IF_ERROR(interval());
      } else {
        out_ += in_[pos_++];
      }
      if (pos_ <= before) return refuse("this construct");
    }
    return std::move(out_);
  }

 private:
  bool at(std::string_view s) const { return in_.substr(pos_).starts_with(s); }
  Error refuse(std::string_view what) const {
    return unsupported("regex '{}': {} at offset {} is not supported", in_, what, pos_);
  }
  void copy(size_t n) {
    out_ += in_.substr(pos_, n);
    pos_ += n;
  }
  // A class escape, bare or inside brackets.
  void put_set(std::string_view members, bool in_class, bool negated) {
    if (in_class) {
      out_ += members;
    } else {
      out_ += negated ? "[^" : "[";
      out_ += members;
      out_ += ']';
    }
    pos_ += 2;
  }

  Status escape(bool in_class) {
    if (pos_ + 1 >= in_.size()) return refuse("a backslash at the end");
    const char c = in_[pos_ + 1];
    switch (c) {
      case 's': put_set(R"(\p{White_Space})", in_class, false); return {};
      case 'S': put_set(R"(\P{White_Space})", in_class, false); return {};
      case 'w': put_set(kWord, in_class, false); return {};
      case 'h': put_set("0-9A-Fa-f", in_class, false); return {};
      case 'W':
      case 'H':
        if (in_class) return refuse("a negated class escape inside [...]");
        put_set(c == 'W' ? kWord : "0-9A-Fa-f", false, true);
        return {};
      case 'p':
      case 'P': return property();
      case 'x':
      case 'u': return code_point();
      case 'd':
      case 'D':
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'v':
      case 'a':
      case 'e':
        // PCRE2's \v is any vertical blank; Oniguruma's is the one character.
        if (c == 'v') {
          out_ += R"(\x0B)";
          pos_ += 2;
        } else {
          copy(2);
        }
        return {};
      case 'A':
      case 'z':
      case 'Z':
        if (in_class) break;
        copy(2);
        return {};
      default: break;
    }
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (alphanumeric) return refuse(std::string("the escape \\") + c);
    ++pos_;
    out_ += '\\';
    if (static_cast<unsigned char>(c) >= 0x80)
      out_.pop_back();  // an escaped non-ASCII character is itself
    copy(1);
    return {};
  }

  Status property() {
    const bool negated = in_[pos_ + 1] == 'P';
    const size_t close = in_.find('}', pos_);
    if (pos_ + 2 >= in_.size() || in_[pos_ + 2] != '{' || close == in_.npos)
      return refuse("a property without {...}");
    std::string_view name = in_.substr(pos_ + 3, close - pos_ - 3);
    const bool caret = name.starts_with('^');
    if (caret) name.remove_prefix(1);
    for (const auto& [long_name, short_name] : kLongNames) {
      if (name == long_name) name = short_name;
    }
    const bool script = contains(kScripts, name);
    if (!script && !contains(kCategories, name))
      return refuse("the property '" + std::string(name) + "'");
    out_ += negated != caret ? "\\P{" : "\\p{";
    if (script) out_ += "sc:";
    out_ += name;
    out_ += '}';
    pos_ = close + 1;
    return {};
  }

  Status code_point() {
    const auto is_hex = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
    };
    size_t begin = pos_ + 2, end = begin;
    const bool braces = in_[pos_ + 1] == 'x' && begin < in_.size() && in_[begin] == '{';
    if (braces) end = ++begin;
    const size_t most = braces ? 8 : in_[pos_ + 1] == 'u' ? 4 : 2;
    while (end < in_.size() && end - begin < most && is_hex(in_[end])) ++end;
    const std::string_view digits = in_.substr(begin, end - begin);
    if (digits.empty() || (!braces && digits.size() != most) ||
        (braces && (end == in_.size() || in_[end] != '}'))) {
      return refuse("a malformed code point");
    }
    // \xHH above 0x7F is a byte of a multi-byte character to Oniguruma.
    if (!braces && most == 2 && digits[0] > '7') return refuse("a raw byte");
    out_ += "\\x{";
    out_ += digits;
    out_ += '}';
    pos_ = end + (braces ? 1 : 0);
    return {};
  }

  Status char_class() {
    copy(1);
    if (at("^")) copy(1);
    if (at("]")) return refuse("']' as the first member of a class");
    while (pos_ < in_.size()) {
      if (at("]")) {
        copy(1);
        return {};
      }
      if (at("[")) return refuse("'[' inside a class");
      if (at("&&")) return refuse("a class intersection");
      if (at("\\")) {
        LH_RETURN_IF_ERROR(escape(true));
      } else {
        copy(1);
      }
    }
    return refuse("a class without ']'");
  }

  Status group() {
    if (!at("(?")) {
      copy(1);
      return {};
    }
    for (const std::string_view opening :
         {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?i)", "(?-i:", "(?-i)"}) {
      if (!at(opening)) continue;
      copy(opening.size());
      return {};
    }
    return refuse("this group");
  }

  // {n}, {n,}, {n,m}, {,m}; any other '{' is a literal for both.
  Status interval() {
    size_t i = pos_ + 1;
    const auto digits = [&] {
      const size_t begin = i;
      while (i < in_.size() && in_[i] >= '0' && in_[i] <= '9') ++i;
      return i - begin;
    };
    const size_t low = digits();
    size_t high = 0;
    const bool comma = i < in_.size() && in_[i] == ',';
    if (comma) {
      ++i;
      high = digits();
    }
    if (i >= in_.size() || in_[i] != '}' || low + high == 0) {
      out_ += "\\{";
      ++pos_;
      return {};
    }
    if (i + 1 < in_.size() && in_[i + 1] == '+') return refuse("'+' after an interval");
    const size_t size = i + 1 - pos_;
    if (low == 0) {
      out_ += "{0";
      ++pos_;
      copy(size - 1);
    } else {
      copy(size);
    }
    return {};
  }

  std::string_view in_;
  size_t pos_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> translate_regex(std::string_view onig_pattern) {
  return Translator(onig_pattern).run();
}

}  // namespace longhaul
