// The methods of str.
#include "text/template/bound_arguments.h"
#include "text/template/code_points.h"
#include "text/template/methods.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"
#include "text/template/search.h"
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
    for (size_t at = 0; at < chars.size(); at += utf8_char_at(chars, at).size)
      set.push_back(utf8_char_at(chars, at).code_point);
  }
  const auto* chosen = a.has(0) ? &set : nullptr;
  std::string_view s = text_of(self);
  if (kSides & 1) s = strip_left(s, chosen);
  if (kSides & 2) s = strip_right(s, chosen);
  return run.text(std::string(s));
}

// Words between runs of whitespace, at most max_split cuts (-1: all).
Result<std::vector<Value>> split_space(Run& run, std::string_view s, int64_t max_split) {
  std::vector<Value> out;
  for (s = strip_left(s); !s.empty(); s = strip_left(s)) {
    size_t n = max_split == 0 ? s.size() : 0;
    while (n < s.size() && !is_space(utf8_char_at(s, n).code_point)) n += utf8_char_at(s, n).size;
    out.push_back(run.text(std::string(s.substr(0, n))));
    s.remove_prefix(n);
    LH_RETURN_IF_ERROR(run.work());
    if (max_split > 0) --max_split;
  }
  return out;
}

Result<std::vector<Value>> split_on(Run& run, std::string_view s, std::string_view separator,
                                    int64_t max_split) {
  if (separator.empty()) return invalid("split(): empty separator");
  const TextFinder finder(separator);
  std::vector<Value> out;
  while (max_split != 0) {
    const size_t found = finder.next(s, 0);
    if (found == s.npos) break;
    LH_RETURN_IF_ERROR(run.work());
    out.push_back(run.text(std::string(s.substr(0, found))));
    s.remove_prefix(found + separator.size());
    if (max_split > 0) --max_split;
  }
  out.push_back(run.text(std::string(s)));
  return out;
}

Result<Value> split(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("split()", args, {"sep", "maxsplit"}));
  LH_TRY(const int64_t max_split, a.integer(1, -1));
  LH_TRY(const std::string separator, a.string(0, ""));
  LH_TRY(auto parts, a.has(0) ? split_on(run, text_of(self), separator, max_split)
                              : split_space(run, text_of(self), max_split));
  return run.list(std::move(parts));
}

// startswith and endswith take one string or a tuple of them.
template <bool kAtEnd>
Result<Value> affix(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind(kAtEnd ? "endswith()" : "startswith()", args, {"affix"}, 1));
  std::vector<Value> choices{*a[0]};
  if (a[0]->is_seq(SeqKind::kTuple)) choices = a[0]->as_seq()->items;
  for (const Value& choice : choices) {
    const auto* s = choice.as_string();
    if (!s) return invalid("startswith() and endswith() need strings, not {}", choice.type_name());
    LH_RETURN_IF_ERROR(run.work(1 + s->size() / 64));
    if (kAtEnd ? text_of(self).ends_with(*s) : text_of(self).starts_with(*s)) return Value(true);
  }
  return Value(false);
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

constexpr MethodRow kString[] = {
    {"strip", strip<3>},          {"lstrip", strip<1>},
    {"rstrip", strip<2>},         {"split", split},
    {"startswith", affix<false>}, {"endswith", affix<true>},
    {"replace", replace},         {"join", join},
    {"upper", change<to_upper>},  {"lower", change<to_lower>},
    {"title", change<title>},     {"capitalize", change<capitalize>},
};

}  // namespace

std::span<const MethodRow> string_methods() { return kString; }

}  // namespace longhaul::jinja
