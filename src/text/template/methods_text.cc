// The methods of str.
#include <algorithm>

#include "text/template/bound_arguments.h"
#include "text/template/code_points.h"
#include "text/template/method_table.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/rendering.h"
#include "text/template/search.h"
#include "text/template/text_format.h"
#include "text/template/text_ops.h"

namespace longhaul::jinja {
namespace {

const std::string& text_of(const Value& self) { return *self.as_string(); }

// strip, lstrip, rstrip: bit 0 strips on the left, bit 1 on the right.
template <int kSides>
Result<Value> strip(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("strip()", args, {"chars"}));
  std::vector<uint32_t> set;
  if (a.has(0)) {
    LH_TRY(const std::string chars, a.string(0, ""));
    LH_RETURN_IF_ERROR(run.work(chars.size() * (1 + text_of(self).size() / 64)));
    for (size_t at = 0; at < chars.size(); at += decode_at(chars, at).n_bytes)
      set.push_back(decode_at(chars, at).value);
  }
  const auto* chosen = a.has(0) ? &set : nullptr;
  std::string_view s = text_of(self);
  if (kSides & 1) s = strip_left(s, chosen);
  if (kSides & 2) s = strip_right(s, chosen);
  return run.text(std::string(s));
}

// Words between runs of whitespace, at most max_split cuts (-1: all), from the left or the right.
Result<std::vector<Value>> split_space(Run& run, std::string_view s, int64_t max_split,
                                       bool from_right) {
  std::vector<Value> out;
  while (true) {
    s = from_right ? strip_right(s) : strip_left(s);
    if (s.empty()) break;
    if (max_split == 0) {
      out.push_back(run.text(std::string(s)));
      break;
    }
    size_t n = 0;
    if (from_right) {
      for (n = s.size(); n > 0;) {
        const size_t before = previous_code_point(s, n);
        if (is_space(decode_at(s, before).value)) break;
        n = before;
      }
      out.push_back(run.text(std::string(s.substr(n))));
      s = s.substr(0, n);
    } else {
      while (n < s.size() && !is_space(decode_at(s, n).value)) n += decode_at(s, n).n_bytes;
      out.push_back(run.text(std::string(s.substr(0, n))));
      s.remove_prefix(n);
    }
    LH_RETURN_IF_ERROR(run.work());
    if (max_split > 0) --max_split;
  }
  if (from_right) std::reverse(out.begin(), out.end());
  return out;
}

Result<std::vector<Value>> split_on(Run& run, std::string_view s, std::string_view separator,
                                    int64_t max_split, bool from_right) {
  if (separator.empty()) return invalid("split(): empty separator");
  const TextFinder finder(separator);
  std::vector<Value> out;
  while (max_split != 0) {
    const size_t found = from_right ? finder.last(s) : finder.next(s, 0);
    if (found == s.npos) break;
    LH_RETURN_IF_ERROR(run.work(from_right ? 1 + found / 64 : 1));
    out.push_back(run.text(
        std::string(from_right ? s.substr(found + separator.size()) : s.substr(0, found))));
    s = from_right ? s.substr(0, found) : s.substr(found + separator.size());
    if (max_split > 0) --max_split;
  }
  out.push_back(run.text(std::string(s)));
  if (from_right) std::reverse(out.begin(), out.end());
  return out;
}

template <bool kFromRight>
Result<Value> split(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("split()", args, {"sep", "maxsplit"}));
  LH_TRY(const int64_t max_split, a.integer(1, -1));
  LH_TRY(const std::string separator, a.string(0, ""));
  if (!a.has(0)) {
    LH_TRY(auto words, split_space(run, text_of(self), max_split, kFromRight));
    return run.list(std::move(words));
  }
  LH_TRY(auto parts, split_on(run, text_of(self), separator, max_split, kFromRight));
  return run.list(std::move(parts));
}

template <bool kFromRight>
Result<Value> partition(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("partition()", args, {"sep"}, 1));
  LH_TRY(const std::string separator, a.string(0, ""));
  if (separator.empty()) return invalid("partition(): empty separator");
  const std::string& s = text_of(self);
  const size_t at = kFromRight ? TextFinder(separator).last(s) : find_text(s, separator);
  if (at == s.npos) {
    if (kFromRight) return run.tuple({run.text(""), run.text(""), self});
    return run.tuple({self, run.text(""), run.text("")});
  }
  return run.tuple(
      {run.text(s.substr(0, at)), run.text(separator), run.text(s.substr(at + separator.size()))});
}

// The part of s between code points start and end, and its first byte.
Result<std::pair<std::string_view, size_t>> window(const Bound& a, size_t first, std::string_view s,
                                                   bool& empty_range) {
  empty_range = false;
  if (!a.has(first) && !a.has(first + 1)) return std::pair<std::string_view, size_t>(s, 0);
  const std::vector<size_t> offsets = code_point_offsets(s);
  const auto n = static_cast<int64_t>(offsets.size()) - 1;
  LH_TRY(int64_t start, a.integer(first, 0));
  LH_TRY(int64_t end, a.integer(first + 1, n));
  if (start < 0) start = std::max<int64_t>(0, start + n);
  if (end < 0) end = std::max<int64_t>(0, end + n);
  end = std::min(end, n);
  if (start > end) {
    empty_range = true;
    return std::pair<std::string_view, size_t>("", 0);
  }
  const size_t from = offsets[static_cast<size_t>(start)];
  return std::pair<std::string_view, size_t>(
      s.substr(from, offsets[static_cast<size_t>(end)] - from), from);
}

// startswith and endswith take one string or a tuple of them.
template <bool kAtEnd>
Result<Value> affix(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a,
         bind(kAtEnd ? "endswith()" : "startswith()", args, {"affix", "start", "end"}, 1));
  std::vector<Value> choices{*a[0]};
  if (a[0]->is_seq(SeqKind::kTuple)) choices = a[0]->as_seq()->items;
  bool empty_range = false;
  LH_TRY(const auto part, window(a, 1, text_of(self), empty_range));
  for (const Value& choice : choices) {
    const auto* s = choice.as_string();
    if (!s) return invalid("startswith() and endswith() need strings, not {}", choice.type_name());
    LH_RETURN_IF_ERROR(run.work(1 + s->size() / 64));
    const bool fits = kAtEnd ? part.first.ends_with(*s) : part.first.starts_with(*s);
    if (!empty_range && fits) return Value(true);
  }
  return Value(false);
}

template <bool kFromRight, bool kMustFind>
Result<Value> find(Run&, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("find()", args, {"sub", "start", "end"}, 1));
  if (!a[0]->as_string()) return invalid("find() needs a string, not {}", a[0]->type_name());
  bool empty_range = false;
  LH_TRY(const auto part, window(a, 1, text_of(self), empty_range));
  const std::string& sub = *a[0]->as_string();
  size_t at = part.first.npos;
  if (!empty_range) {
    at = !kFromRight   ? find_text(part.first, sub)
         : sub.empty() ? part.first.size()
                       : TextFinder(sub).last(part.first);
  }
  if (at != part.first.npos)
    return Value(count_code_points(std::string_view(text_of(self)).substr(0, part.second + at)));
  if (kMustFind) return invalid("index(): substring not found");
  return Value(int64_t{-1});
}

Result<Value> count(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("count()", args, {"sub", "start", "end"}, 1));
  if (!a[0]->as_string()) return invalid("count() needs a string, not {}", a[0]->type_name());
  bool empty_range = false;
  LH_TRY(const auto part, window(a, 1, text_of(self), empty_range));
  const std::string& sub = *a[0]->as_string();
  if (empty_range) return Value(int64_t{0});
  if (sub.empty()) return Value(count_code_points(part.first) + 1);
  const TextFinder finder(sub);
  int64_t n = 0;
  for (size_t at = 0; (at = finder.next(part.first, at)) != part.first.npos; at += sub.size()) ++n;
  LH_RETURN_IF_ERROR(run.work(static_cast<uint64_t>(n)));
  return Value(n);
}

Result<Value> replace(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("replace()", args, {"old", "new", "count"}, 2));
  if (!a[0]->as_string() || !a[1]->as_string()) return invalid("replace() needs strings");
  LH_TRY(const int64_t max_count, a.integer(2, -1));
  LH_TRY(std::string out,
         replace_text(run, text_of(self), *a[0]->as_string(), *a[1]->as_string(), max_count));
  return run.text(std::move(out));
}

Result<Value> join(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("join()", args, {"iterable"}, 1));
  LH_TRY(const auto items, iterate(run, *a[0]));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto* s = items[i].as_string();
    if (!s) return invalid("join() needs strings, item {} is a {}", i, items[i].type_name());
    LH_RETURN_IF_ERROR(run.check_size(out.size() + s->size() + text_of(self).size()));
    LH_RETURN_IF_ERROR(run.work((s->size() + text_of(self).size()) / 64));
    if (i > 0) out += text_of(self);
    out += *s;
  }
  return run.text(std::move(out));
}

template <std::string (*kChange)(std::string_view)>
Result<Value> change(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("a string method", args, {}));
  return run.text(kChange(text_of(self)));
}

std::string title(std::string_view s) {
  return title_words(s, [](uint32_t before) { return !is_cased(before); });
}

std::string swap_case(std::string_view s) {
  std::string out;
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode_at(s, at);
    const std::string_view one = s.substr(at, c.n_bytes);
    out += is_upper(c.value) ? to_lower(one) : to_upper(one);
    at += c.n_bytes;
  }
  return out;
}

Result<Value> splitlines(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("splitlines()", args, {"keepends"}));
  std::vector<Value> out;
  for (const std::string_view line : split_lines(text_of(self), a.truthy(0))) {
    LH_RETURN_IF_ERROR(run.work());
    out.push_back(run.text(std::string(line)));
  }
  return run.list(std::move(out));
}

template <bool kSuffix>
Result<Value> remove_affix(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("removeprefix()", args, {"affix"}, 1));
  if (!a[0]->as_string())
    return invalid("removeprefix() and removesuffix() need a string, not {}", a[0]->type_name());
  std::string_view s = text_of(self);
  const std::string& affix = *a[0]->as_string();
  if (kSuffix && s.ends_with(affix)) s.remove_suffix(affix.size());
  if (!kSuffix && s.starts_with(affix)) s.remove_prefix(affix.size());
  return run.text(std::string(s));
}

// True where there is a character and all are of the kind.
template <bool (*kIs)(uint32_t)>
Result<Value> all_are(Run&, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("a string test", args, {}));
  const std::string& s = text_of(self);
  for (size_t at = 0; at < s.size(); at += decode_at(s, at).n_bytes) {
    if (!kIs(decode_at(s, at).value)) return Value(false);
  }
  return Value(!s.empty());
}

bool is_alphanumeric(uint32_t cp) { return cp != '_' && is_word(cp); }

template <char kSide>
Result<Value> pad(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("ljust()", args, {"width", "fillchar"}, 1));
  LH_TRY(const int64_t width, a.integer(0, 0));
  LH_TRY(const std::string fill, a.string(1, " "));
  if (count_code_points(fill) != 1) return invalid("the fill character must be one character");
  LH_TRY(std::string out, pad_text(run, text_of(self), width, kSide, fill));
  return run.text(std::move(out));
}

Result<Value> zero_fill(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("zfill()", args, {"width"}, 1));
  LH_TRY(const int64_t width, a.integer(0, 0));
  const std::string& s = text_of(self);
  const size_t sign = !s.empty() && (s[0] == '-' || s[0] == '+') ? 1 : 0;
  LH_TRY(std::string out,
         pad_text(run, s.substr(sign), width - static_cast<int64_t>(sign), '>', "0"));
  return run.text(s.substr(0, sign) + out);
}

Result<Value> format(Run& run, const Value& self, const Args& args) {
  return brace_format(run, text_of(self), args);
}

// islower and isupper: some cased character, and none of the other case.
template <bool kUpper>
Result<Value> has_case(Run&, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("a string test", args, {}));
  return Value(kUpper ? is_upper_text(text_of(self)) : is_lower_text(text_of(self)));
}

constexpr MethodRow kString[] = {
    {"strip", strip<3>},
    {"lstrip", strip<1>},
    {"rstrip", strip<2>},
    {"split", split<false>},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"startswith", affix<false>},
    {"endswith", affix<true>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"count", count},
    {"replace", replace},
    {"join", join},
    {"format", format},
    {"upper", change<to_upper>},
    {"lower", change<to_lower>},
    {"casefold", change<to_lower>},
    {"title", change<title>},
    {"capitalize", change<capitalize>},
    {"swapcase", change<swap_case>},
    {"isdigit", all_are<is_decimal>},
    {"isdecimal", all_are<is_decimal>},
    {"isnumeric", all_are<is_decimal>},
    {"isalpha", all_are<is_alphabetic>},
    {"isalnum", all_are<is_alphanumeric>},
    {"isspace", all_are<is_space>},
    {"islower", has_case<false>},
    {"isupper", has_case<true>},
    {"ljust", pad<'<'>},
    {"rjust", pad<'>'>},
    {"center", pad<'c'>},
    {"zfill", zero_fill},
};

}  // namespace

Method find_string_method(std::string_view name) { return find_row(kString, name); }

}  // namespace longhaul::jinja
