#include "text/chat/loose_values.h"

#include <charconv>

#include "base/utf8.h"
#include "text/chat/call_draft.h"

namespace longhaul {
namespace {

constexpr size_t kMaxKey = 128;  // bytes within which a key's separator is looked for
constexpr std::string_view kMark = "<|\"|>";
constexpr std::string_view kClosers = "}])";

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '$' || c < 0;
}

size_t skip_space_back(std::string_view text, size_t end) {
  while (end > 0 && kSpace.find(text[end - 1]) != kSpace.npos) --end;
  return end;
}

std::string without_marks(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t mark = std::min(text.find(kMark, at), text.size());
    out += text.substr(at, mark - at);
    if (mark < text.size()) out += '"';
    at = mark + kMark.size();
  }
  return out;
}

std::optional<uint32_t> hex4(std::string_view digits) {
  uint32_t value = 0;
  if (digits.size() < 4) return std::nullopt;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + 4, value, 16);
  if (failed != std::errc() || end != digits.data() + 4) return std::nullopt;
  return value;
}

// The character that \uXXXX at text[at] names, with its second half where it needs one; `at` is
// left behind it.
std::optional<char32_t> unicode_escape(std::string_view text, size_t& at) {
  const auto first = hex4(text.substr(std::min(at + 2, text.size())));
  if (!first || (*first >= 0xdc00 && *first < 0xe000)) return std::nullopt;
  if (*first < 0xd800 || *first >= 0xe000) {
    at += 6;
    return static_cast<char32_t>(*first);
  }
  const std::string_view rest = text.substr(std::min(at + 6, text.size()));
  const auto second = rest.starts_with("\\u") ? hex4(rest.substr(2)) : std::nullopt;
  if (!second || *second < 0xdc00 || *second >= 0xe000) return std::nullopt;
  at += 12;
  return static_cast<char32_t>(0x10000 + ((*first - 0xd800) << 10) + (*second - 0xdc00));
}

// The text without pieces of <|"|> around it.
std::string_view without_broken_marks(std::string_view text) {
  for (const std::string_view piece : {"<|\"|", "<|\"", "<|"}) {
    if (!text.starts_with(piece)) continue;
    text.remove_prefix(piece.size());
    break;
  }
  for (const std::string_view piece : {"|\"|>", "\"|>", "|>"}) {
    if (!text.ends_with(piece) || text.ends_with(kMark)) continue;
    text.remove_suffix(piece.size());
    break;
  }
  return trimmed(text);
}

// true, false and null; nothing for other words.
std::optional<Json> json_word(std::string_view word) {
  if (word == "true") return Json(true);
  if (word == "false") return Json(false);
  if (word == "null") return Json();
  return Json::parse_number(word);
}

std::optional<Json> python_word(std::string_view word) {
  if (word == "True") return Json(true);
  if (word == "False") return Json(false);
  if (word == "None") return Json();
  return std::nullopt;
}

}  // namespace

const ValueReader::Quote* ValueReader::quote_at(std::string_view text, size_t at) {
  static constexpr Quote kQuotes[] = {{kMark, false}, {"\"", true}, {"'", true}};
  for (const Quote& quote : kQuotes) {
    if (text.substr(std::min(at, text.size())).starts_with(quote.mark)) return &quote;
  }
  return nullptr;
}

bool ValueReader::stop(Reading why) {
  failure_ = why;
  return false;
}

bool ValueReader::take(char c) {
  if (at_end() || text_[at_] != c) return false;
  ++at_;
  return true;
}

Reading ValueReader::read_object(Json& out) {
  return exactly_or_mended([&] { return object(out); });
}

Reading ValueReader::read_value(Json& out) {
  return exactly_or_mended([&] { return value(out, Place::kItem); });
}

// What can be read as it stands is not mended.
template <class Read>
Reading ValueReader::exactly_or_mended(const Read& read) {
  const size_t begin = at_;
  exact_ = true;
  if (read() && repairs_.empty()) return Reading::kRead;
  exact_ = false;
  at_ = begin;
  repairs_ = {};
  open_.clear();
  failure_ = Reading::kNone;
  return read() ? Reading::kRead : failure_;
}

bool ValueReader::value(Json& out, Place place) {
  skip();
  if (exact_ && !repairs_.empty()) return false;
  if (at_end())
    return notation_.ends_with_text ? false : stop(in_.is_whole ? Reading::kCut : Reading::kMore);
  if (text_[at_] == '{') return object(out);
  if (text_[at_] == '[') return list(out);
  const Quote* quote = quote_at(text_, at_);
  if (quote == nullptr) return word(out, place);
  std::string text;
  if (!string(*quote, place, text)) return false;
  out = Json(std::move(text));
  if (exact_) return true;
  // A second quotation mark behind the one that closed it.
  const size_t next = skip_space(text_, at_);
  const Quote* spare = quote_at(text_, next);
  if (spare != nullptr && follows(next + spare->mark.size(), place)) {
    at_ = next + spare->mark.size();
    repairs_.add(Repair::kQuotes);
  }
  return true;
}

// The elements between a bracket, at which the reader stands, and the one that closes it.
template <class ReadElement>
bool ValueReader::elements(const ReadElement& read_element) {
  if (open_.size() >= kMaxCallDepth) return false;
  const char closer = text_[at_] == '{' ? '}' : text_[at_] == '[' ? ']' : ')';
  open_ += closer;
  ++at_;
  bool any = false, comma = true;
  while (true) {
    skip();
    if (at_end() && !notation_.ends_with_text)
      return stop(in_.is_whole ? Reading::kCut : Reading::kMore);
    if (at_end() || in_.marker_at(at_) || text_.substr(at_).starts_with(kFence)) {
      repairs_.add(Repair::kBrackets);
      break;
    }
    const bool semicolon = text_[at_] == ';';
    if (take(',') || take(';')) {
      if (comma || semicolon) repairs_.add(Repair::kComma);
      comma = true;
      continue;
    }
    const char c = text_[at_];
    if (kClosers.find(c) == kClosers.npos) {
      if (!comma) repairs_.add(Repair::kComma);
      if (!read_element()) return false;
      any = true;
      comma = false;
      continue;
    }
    if (any && comma) repairs_.add(Repair::kComma);
    if (c != closer) repairs_.add(Repair::kBrackets);
    if (c == closer || open_.size() == 1) {
      ++at_;
      break;
    }
    if (is_open(c)) break;  // an outer bracket closes: this one's is missing
    ++at_;
  }
  open_.pop_back();
  return true;
}

bool ValueReader::list(Json& out) {
  Json::Array items;
  const bool read = elements([&] {
    Json item;
    if (!value(item, Place::kItem)) return false;
    items.push_back(std::move(item));
    return true;
  });
  out = Json(std::move(items));
  return read;
}

bool ValueReader::object(Json& out) {
  ObjectBuilder members;
  if (text_[at_] == '(') repairs_.add(Repair::kBrackets);
  const bool read = elements([&] {
    std::string name;
    Json member;
    if (!key(name) || !separator() || !value(member, Place::kMember)) return false;
    if (!members.set(std::move(name), std::move(member))) repairs_.add(Repair::kRepeated);
    return true;
  });
  out = members.take();
  return read;
}

bool ValueReader::separator() {
  skip();
  if (take(':')) return true;
  if (!take('=')) return at_end() && !in_.is_whole ? stop(Reading::kMore) : false;
  take('>');
  repairs_.add(Repair::kSeparator);
  return true;
}

bool ValueReader::key(std::string& out) {
  const Quote* quote = quote_at(text_, at_);
  if (quote != nullptr && (exact_ || key_at(at_, false))) return string(*quote, Place::kKey, out);
  if (quote != nullptr) {
    at_ += quote->mark.size();
    repairs_.add(Repair::kLostQuote);
  }
  const size_t end = text_.find_first_of(exact_ ? ":{}[]," : ":={}[],", at_);
  if (end == text_.npos)
    return in_.find_close(at_) == text_.npos ? stop(in_.is_whole ? Reading::kCut : Reading::kMore)
                                             : false;
  std::string_view name = trimmed(text_.substr(at_, end - at_));
  if ((text_[end] != ':' && text_[end] != '=') || name.size() > kMaxKey) return false;
  for (size_t i = at_; i < end; ++i) {
    if (in_.marker_at(i)) return false;
  }
  for (const std::string_view mark : {kMark, std::string_view("\""), std::string_view("'")}) {
    if (!name.ends_with(mark)) continue;
    name.remove_suffix(mark.size());
    if (quote == nullptr) repairs_.add(Repair::kLostQuote);
    break;
  }
  if (!notation_.bare_keys && quote == nullptr) repairs_.add(Repair::kNoQuotes);
  out = notation_.bare_keys ? without_marks(name) : std::string(name);
  at_ = end;
  return !out.empty();
}

// --- words

bool ValueReader::word(Json& out, Place place) {
  size_t mark_size = 0;
  const size_t end = word_end(at_, place, mark_size);
  if (end >= text_.size() && !notation_.ends_with_text)
    return stop(in_.is_whole ? Reading::kCut : Reading::kMore);
  std::string_view word = trimmed(text_.substr(at_, end - at_));
  at_ = end + mark_size;
  if (notation_.bare_keys) word = without_broken_marks(word);
  if (word.empty()) return false;
  std::optional<Json> literal = mark_size > 0 ? std::nullopt : json_word(word);
  if (!literal && mark_size == 0) {
    literal = python_word(word);
    repairs_.add(literal ? Repair::kPython : Repair::kNoQuotes);
  }
  if (mark_size > 0) repairs_.add(Repair::kLostQuote);
  out = literal ? std::move(*literal)
                : Json(notation_.bare_keys ? without_marks(word) : std::string(word));
  return true;
}

// Where a value without an opening quotation mark ends. mark_size: of the closing one that stands
// there.
size_t ValueReader::word_end(size_t begin, Place place, size_t& mark_size) {
  if (const size_t end = literal_end(begin, place); end > begin) return end;
  if (exact_) return std::min(text_.find_first_of(",}]", begin), text_.size());
  if (const size_t end = lost_opening_end(begin, place, mark_size); end > begin) return end;
  int brackets = 0, parentheses = 0;
  for (size_t i = begin; i < text_.size(); ++i) {
    const char c = text_[i];
    switch (c) {
      case ',': {
        if (brackets > 0) break;
        const size_t next = skip_space(text_, i + 1);
        const bool goes_on = next < text_.size() && kClosers.find(text_[next]) == kClosers.npos &&
                             text_[next] != ',' && !in_.marker_at(next);
        if (place == Place::kItem || !goes_on || key_at(next, false)) return i;
        break;
      }
      case '{':
      case '[': ++brackets; break;
      case '}':
      case ']':
        if (brackets-- == 0) return i;
        break;
      case '(': ++parentheses; break;
      case ')':
        if (parentheses > 0) {
          --parentheses;
        } else if (is_open(')')) {
          return i;
        }
        break;
      case '\n':
        if (place == Place::kMember && key_at(skip_space(text_, i), true)) return i;
        break;
      case ' ':
        if (place == Place::kMember && member_at(i + 1)) return i;
        break;
      default: break;
    }
    if (c == '<' && in_.marker_at(i)) return i;
    const Quote* quote = i > begin ? quote_at(text_, i) : nullptr;
    if (quote != nullptr && follows(i + quote->mark.size(), place)) {
      mark_size = quote->mark.size();
      return i;
    }
  }
  return text_.size();
}

// Where a number or a word of JSON or Python ends that stands at `begin` and is all of its value;
// else `begin`.
size_t ValueReader::literal_end(size_t begin, Place place) const {
  const size_t end = std::min(text_.find_first_of(" \t\r\n,}])<", begin), text_.size());
  const std::string_view word = text_.substr(begin, end - begin);
  if (!json_word(word) && !python_word(word)) return begin;
  const size_t next = skip_space(text_, end);
  const bool ends = next == text_.size() || text_[next] == ',' ||
                    kClosers.find(text_[next]) != kClosers.npos || in_.marker_at(next) ||
                    key_at(next, true) ||
                    (place == Place::kItem && next > end && literal_end(next, place) > next);
  return ends ? end : begin;
}

// Where a string ends that lacks its opening <|"|> and has the closing one; else `begin`.
size_t ValueReader::lost_opening_end(size_t begin, Place place, size_t& mark_size) {
  if (!notation_.bare_keys) return begin;
  if (next_mark_ < begin) next_mark_ = std::min(text_.find(kMark, begin), text_.size());
  const size_t mark = next_mark_, before = skip_space_back(text_, mark);
  if (mark >= text_.size() || !follows(mark + kMark.size(), place)) return begin;
  const bool opens = before <= begin ||
                     std::string_view(":=,[{").find(text_[before - 1]) != std::string_view::npos;
  if (opens) return begin;
  for (size_t i = begin; i < mark; ++i) {
    if (text_[i] == '<' && in_.marker_at(i)) return begin;
    if (text_[i] != ',') continue;
    const bool is_known = notation_.properties != nullptr && open_.size() == 1;
    if (place == Place::kItem || key_at(is_known ? skip_space(text_, i + 1) : i + 1, true))
      return i;
  }
  mark_size = kMark.size();
  return mark;
}

// --- strings

bool ValueReader::string(const Quote& quote, Place place, std::string& out) {
  const size_t begin = at_ + quote.mark.size();
  const StringEnd end = string_end(quote, begin, place);
  if (!end.found) return stop(in_.is_whole ? Reading::kCut : Reading::kMore);
  const std::string_view body = text_.substr(begin, end.text_end - begin);
  out = quote.escapes ? unescaped(body) : without_marks(body);
  if (quote.escapes && notation_.bare_keys) out = without_marks(out);
  at_ = end.next;
  if (end.inner || body.find(kMark) != body.npos) repairs_.add(Repair::kInnerQuote);
  if (quote.mark != (notation_.bare_keys ? kMark : "\"")) repairs_.add(Repair::kQuotes);
  return true;
}

ValueReader::StringEnd ValueReader::string_end(const Quote& quote, size_t begin, Place place) {
  // the first marker inside: the call's end, should the string have none
  size_t limit = text_.npos;
  size_t other_close = text_.npos;  // the first mark of another kind that could close it
  bool inner = false, lost = false;
  size_t i = begin;
  if (exact_) {
    for (; i < text_.size() && !text_.substr(i).starts_with(quote.mark); ++i)
      i += quote.escapes && text_[i] == '\\';
    return {i, i + quote.mark.size(), false, i < text_.size()};
  }
  while (i < text_.size() && !lost) {
    if (i > limit && in_.is_too_far(i, limit)) {
      lost = true;
    } else if (quote.escapes && text_[i] == '\\') {
      i += 2;
    } else if (text_.substr(i).starts_with(quote.mark)) {
      const size_t behind = i + quote.mark.size();
      if (follows(behind, place)) return {i, behind, inner, true};
      const size_t cut = comma_before_key(i, quote.mark);
      if (cut != text_.npos && cut >= begin && (limit < cut || text_[cut] == ',')) {
        in_.note_search(i, limit);
        repairs_.add(Repair::kLostQuote);
        const size_t end = limit < cut ? unclosed_end(begin, limit) : cut;
        return {end, end, inner, true};
      }
      inner = true;
      i = behind;
    } else if (text_[i] != '<') {
      if (other_close == text_.npos && limit == text_.npos && text_[i] == '"' &&
          follows(i + 1, place))
        other_close = i;
      ++i;
    } else if (notation_.bare_keys && text_.substr(i).starts_with(kMark) &&
               follows(i + kMark.size(), place)) {
      return {i, i + kMark.size(), inner, true};  // opened by another mark
    } else if (const size_t close = in_.close_at(i)) {
      limit = std::min(limit, i);
      lost = in_.next_call_at(i);
      i += close;
    } else if (const size_t open = in_.open_at(i); open > 0 && begins_call(text_, i + open)) {
      // A whole call that the string quotes. When everything has come and the string is not closed,
      // it was none.
      const size_t quoted_end = in_.is_whole ? text_.npos : in_.find_close(i + open);
      if (in_.is_whole) limit = std::min(limit, i);
      i = quoted_end == text_.npos ? (in_.is_whole ? i + open : text_.size())
                                   : quoted_end + in_.close_at(quoted_end);
    } else {
      if (in_.other_at(i) > 0) limit = std::min(limit, i);
      ++i;
    }
  }
  if (notation_.ends_with_text) limit = text_.size();
  if ((!lost && !in_.is_whole && !notation_.ends_with_text) || limit == text_.npos) return {};
  in_.note_search(i, limit);
  repairs_.add(Repair::kLostQuote);
  if (other_close != text_.npos) return {other_close, other_close + 1, inner, true};
  const size_t end = unclosed_end(begin, limit);
  return {end, end, inner, true};
}

// Where a string ends that nothing closes before `limit`: before the next key that the function
// has, else before the brackets that close what is open.
size_t ValueReader::unclosed_end(size_t begin, size_t limit) const {
  if (notation_.properties != nullptr && open_.size() == 1) {
    for (size_t comma = text_.find(',', begin); comma < limit; comma = text_.find(',', comma + 1)) {
      if (key_at(skip_space(text_, comma + 1), true)) return comma;
    }
  }
  int64_t surplus = 0;
  for (const char c : text_.substr(begin, limit - begin))
    surplus += (kClosers.find(c) != kClosers.npos) - (c == '{' || c == '[' || c == '(');
  size_t end = begin + (skip_space_back(text_.substr(begin, limit - begin), limit - begin));
  for (size_t n = 0; n < open_.size() && surplus > 0 && end > begin &&
                     kClosers.find(text_[end - 1]) != kClosers.npos;
       ++n, --surplus) {
    end = begin + skip_space_back(text_.substr(begin, end - 1 - begin), end - 1 - begin);
  }
  return end;
}

std::string ValueReader::unescaped(std::string_view body) {
  static constexpr std::string_view kLetters = "bfnrt\"\\/'", kMeanings = "\b\f\n\r\t\"\\/'";
  std::string out;
  for (size_t i = 0; i < body.size();) {
    if (body[i] != '\\') {
      if (static_cast<unsigned char>(body[i]) < 0x20) repairs_.add(Repair::kEscape);
      out += body[i++];
      continue;
    }
    const size_t letter = i + 1 < body.size() ? kLetters.find(body[i + 1]) : kLetters.npos;
    const auto character =
        body.substr(i).starts_with("\\u") ? unicode_escape(body, i) : std::nullopt;
    if (character) {
      append_utf8(out, *character);
    } else if (letter != kLetters.npos) {
      if (body[i + 1] == '\'') repairs_.add(Repair::kEscape);
      out += kMeanings[letter];
      i += 2;
    } else {
      repairs_.add(
          Repair::kEscape);  // a backslash that stands for itself, as in a path or an expression
      out += body[i++];
    }
  }
  return out;
}

// --- what stands around

// Whether what stands at text[at] can follow the quotation mark that closes a string.
bool ValueReader::follows(size_t at, Place place) const {
  const size_t next = skip_space(text_, at);
  if (next >= text_.size()) return in_.is_whole;
  const char c = text_[next];
  if (place == Place::kKey) return c == ':' || c == '=';
  if (is_open(c)) return true;
  if (c == ',' || c == ';') {
    if (place == Place::kItem) return c == ',';
    const size_t more = skip_space(text_, next + 1);
    return more >= text_.size() || kClosers.find(text_[more]) != kClosers.npos ||
           text_[more] == ',' || in_.marker_at(more) || key_at(more, false);
  }
  if (in_.marker_at(next)) return true;
  if (const Quote* quote = quote_at(text_, next)) {
    // A missing comma in a list, or a second mark beside the first.
    const size_t behind = skip_space(text_, next + quote->mark.size());
    const bool ends = behind >= text_.size() || is_open(text_[behind]) || text_[behind] == ',' ||
                      in_.marker_at(behind);
    return place == Place::kItem || ends || key_at(next, true);
  }
  return place == Place::kMember && key_at(next, true);
}

// Whether a key and its separator stand at text[at]. strict: as models write them where a comma is
// missing, without spaces and, where the function's parameters are known, one of them.
bool ValueReader::key_at(size_t at, bool strict) const {
  const std::string_view near = text_.substr(std::min(at, text_.size()), kMaxKey);
  const Quote* quote = quote_at(near, 0);
  size_t begin = quote == nullptr ? 0 : quote->mark.size(), end = begin;
  if (quote != nullptr) {
    for (; end < near.size() && !near.substr(end).starts_with(quote->mark); ++end)
      end += quote->escapes && near[end] == '\\';
    if (end >= near.size()) return near.size() == kMaxKey && !strict;  // a long key
  } else if (strict) {
    while (end < near.size() && is_key_character(near[end])) ++end;
  } else {
    end = std::min(near.find_first_of(",:={}[]()\"'<\n"), near.size());
  }
  const std::string_view name = trimmed(near.substr(begin, end - begin));
  const size_t colon = skip_space(near, end + (quote == nullptr ? 0 : quote->mark.size()));
  if ((name.empty() && quote == nullptr) || colon >= near.size() ||
      (near[colon] != ':' && near[colon] != '='))
    return false;
  const std::string_view behind = near.substr(colon + 1);
  if (quote == nullptr && (behind.starts_with("//") || behind.starts_with('=')))
    return false;  // an address, a comparison
  return !strict || is_property(name);
}

// A key and the beginning of its value, as they stand side by side in no prose.
bool ValueReader::member_at(size_t at) const {
  if (!key_at(at, true)) return false;
  const size_t colon = text_.find_first_of(":=", at);
  const size_t value = skip_space(text_, colon + 1);
  return value < text_.size() &&
         (quote_at(text_, value) != nullptr || text_[value] == '{' || text_[value] == '[');
}

bool ValueReader::is_property(std::string_view name) const {
  if (notation_.properties == nullptr || open_.size() != 1) return true;
  return notation_.properties->find(name) != nullptr;
}

// Where a quotation mark opens the next key or its value, the place at which the value before
// ended: a comma; or a bracket, where the key is the first of an object. npos where it opens none.
size_t ValueReader::comma_before_key(size_t quote, std::string_view mark) const {
  const size_t floor = quote - std::min(quote, kMaxKey);
  const std::string_view before = text_.substr(floor, quote - floor);
  size_t end = skip_space_back(before, before.size());
  if (end > 0 && before[end - 1] == ',') {
    size_t name_end = quote + mark.size();
    while (name_end < text_.size() && name_end - quote < kMaxKey &&
           is_key_character(text_[name_end]))
      ++name_end;
    const size_t colon = skip_space(text_, name_end + mark.size());
    const bool is_key = name_end > quote + mark.size() &&
                        text_.substr(name_end).starts_with(mark) && colon < text_.size() &&
                        (text_[colon] == ':' || text_[colon] == '=');
    return is_key ? floor + end - 1 : text_.npos;
  }
  if (end == 0 || (before[end - 1] != ':' && before[end - 1] != '=')) return text_.npos;
  end = skip_space_back(before, end - 1);
  size_t begin = end;
  while (begin > 0 && is_key_character(before[begin - 1])) --begin;
  const std::string_view name = before.substr(begin, end - begin);
  begin = skip_space_back(before, begin);
  if (name.empty() || begin == 0 || (before[begin - 1] != ',' && before[begin - 1] != '{'))
    return text_.npos;
  return before[begin - 1] == '{' || is_property(name) ? floor + begin - 1 : text_.npos;
}

std::optional<Json> read_whole_value(std::string_view raw, Repairs& repairs) {
  const CallText text{raw, {}, true};
  ValueReader reader(text, 0, {.ends_with_text = true});
  Json out;
  if (reader.read_value(out) != Reading::kRead) return std::nullopt;
  repairs.add(reader.repairs());
  if (skip_space(raw, reader.at()) < raw.size()) return std::nullopt;
  return out;
}

}  // namespace longhaul
