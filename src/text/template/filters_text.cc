// Filters that make text.
#include <algorithm>

#include "text/template/bound_arguments.h"
#include "text/template/code_points.h"
#include "text/template/filters.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/rendering.h"
#include "text/template/text_format.h"
#include "text/template/text_ops.h"

namespace longhaul::jinja {
namespace {

Result<Value> string(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("string", args, {}));
  if (v.as_string()) return v;
  LH_TRY(std::string s, to_text(run, v));
  return run.text(std::move(s));
}

template <std::string (*kChange)(std::string_view)>
Result<Value> change(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("a text filter", args, {}));
  LH_TRY(const std::string s, to_text(run, v));
  return run.text(kChange(s));
}

std::string title(std::string_view s) {
  return title_words(s, [](uint32_t before) {
    return is_space(before) || before == '-' || before == '(' || before == '{' || before == '[' ||
           before == '<';
  });
}

std::string escape_html(std::string_view s) {
  std::string out;
  for (const char c : s) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&#39;"; break;
      case '"': out += "&#34;"; break;
      default: out += c;
    }
  }
  return out;
}

Result<Value> trim(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("trim", args, {"chars"}));
  LH_TRY(const std::string chars, a.string(0, ""));
  LH_TRY(const std::string s, to_text(run, v));
  LH_RETURN_IF_ERROR(run.work(chars.size() * (1 + s.size() / 64)));
  std::vector<uint32_t> set;
  for (size_t at = 0; at < chars.size(); at += decode_at(chars, at).n_bytes)
    set.push_back(decode_at(chars, at).value);
  const auto* chosen = a.has(0) ? &set : nullptr;
  return run.text(std::string(strip_right(strip_left(s, chosen), chosen)));
}

Result<Value> replace(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("replace", args, {"old", "new", "count"}, 2));
  LH_TRY(const std::string s, to_text(run, v));
  LH_TRY(const std::string from, to_text(run, *a[0]));
  LH_TRY(const std::string to, to_text(run, *a[1]));
  LH_TRY(const int64_t max_count, a.integer(2, -1));
  LH_TRY(std::string out, replace_text(run, s, from, to, max_count));
  return run.text(std::move(out));
}

// One level's indentation, of a width or of the text itself.
Result<std::string> indentation(Run& run, const Value* width, std::string fallback) {
  if (!width || width->is_none()) return fallback;
  if (width->as_string()) return *width->as_string();
  int64_t n = 0;
  if (!width->to_integer(n))
    return invalid("an indent must be a number or a string, not {}", width->type_name());
  n = std::max<int64_t>(n, 0);
  LH_RETURN_IF_ERROR(run.check_size(static_cast<uint64_t>(n)));
  return std::string(static_cast<size_t>(n), ' ');
}

Result<Value> tojson(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a,
         bind("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ascii = a.truthy(0);
  style.sort_keys = a.truthy(3);
  style.multiline = a.has(1);
  LH_TRY(style.indent, indentation(run, a[1], ""));
  if (style.multiline) style.item_separator = std::string(1, ',');
  if (a.has(2)) {
    const Seq* pair = a[2]->as_seq();
    if (!pair || pair->items.size() != 2 || !pair->items[0].as_string() ||
        !pair->items[1].as_string()) {
      return invalid("tojson: separators must be two strings");
    }
    style.item_separator = *pair->items[0].as_string();
    style.key_separator = *pair->items[1].as_string();
  }
  LH_TRY(std::string out, to_json_text(run, v, style));
  return run.text(std::move(out));
}

Result<Value> indent(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("indent", args, {"width", "first", "blank"}));
  LH_TRY(const std::string pad, indentation(run, a[0], "    "));
  LH_TRY(std::string s, to_text(run, v));
  if (v.is_undefined()) return undefined_error(v);
  if (!v.as_string()) return invalid("indent needs a string, not {}", v.type_name());
  s += '\n';  // so that a last, empty line counts as a line
  std::string out;
  bool first = true;
  for (const std::string_view line : split_lines(s, false)) {
    LH_RETURN_IF_ERROR(run.work(1 + pad.size() / 64));
    LH_RETURN_IF_ERROR(run.check_size(out.size() + pad.size() + line.size()));
    if (!first) out += '\n';
    if (first ? a.truthy(1) : a.truthy(2) || !line.empty()) out += pad;
    out += line;
    first = false;
  }
  return run.text(std::move(out));
}

Result<Value> center(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("center", args, {"width"}));
  LH_TRY(const int64_t width, a.integer(0, 80));
  LH_TRY(const std::string s, to_text(run, v));
  LH_TRY(std::string out, pad_text(run, s, width, 'c'));
  return run.text(std::move(out));
}

Result<Value> truncate(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("truncate", args, {"length", "killwords", "end", "leeway"}));
  LH_TRY(const int64_t max_length, a.integer(0, 255));
  LH_TRY(const std::string end, a.string(2, "..."));
  LH_TRY(const int64_t leeway, a.integer(3, 5));
  LH_TRY(const int64_t n, length(run, v));
  const int64_t n_end = count_code_points(end);
  if (max_length < n_end) return invalid("truncate: a length of at least {} is needed", n_end);
  if (leeway < 0) return invalid("truncate: the leeway cannot be negative");
  if (n <= max_length || n - max_length <= leeway) return v;
  const auto* s = v.as_string();
  if (!s) return invalid("truncate needs a string, not {}", v.type_name());
  LH_RETURN_IF_ERROR(run.work(s->size() / 16));
  const std::vector<size_t> offsets = code_point_offsets(*s);
  std::string head = s->substr(0, offsets[static_cast<size_t>(max_length - n_end)]);
  if (!a.truthy(1)) {
    if (const size_t space = head.rfind(' '); space != head.npos) head.resize(space);
  }
  return run.text(head + end);
}

Result<Value> wordcount(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("wordcount", args, {}));
  LH_TRY(const std::string s, to_text(run, v));
  int64_t n = 0;
  bool inside = false;
  for (size_t at = 0; at < s.size(); at += decode_at(s, at).n_bytes) {
    const bool word = is_word(decode_at(s, at).value);
    n += word && !inside;
    inside = word;
  }
  return Value(n);
}

Result<Value> format(Run& run, const Value& v, const Args& args) {
  if (!args.positional.empty() && !args.named.empty())
    return invalid("format: either positional or named arguments");
  LH_TRY(const std::string s, to_text(run, v));
  if (args.named.empty()) {
    LH_TRY(const Value values, run.tuple(args.positional));
    return percent_format(run, s, values);
  }
  std::vector<Dict::Item> items;
  for (const auto& [name, value] : args.named) items.emplace_back(run.text(name), value);
  LH_TRY(const Value values, run.dict(std::move(items)));
  return percent_format(run, s, values);
}

std::string quote_url(std::string_view s, std::string_view safe) {
  std::string out;
  for (const char c : s) {
    const bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                       safe.find(c) != safe.npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<Value> urlencode(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("urlencode", args, {}));
  if (v.as_dict() || v.as_seq())
    return unsupported("urlencode of a {} is not supported", v.type_name());
  LH_TRY(const std::string s, to_text(run, v));
  return run.text(quote_url(s, "_.-~/"));
}

Result<Value> join(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("join", args, {"d", "attribute"}));
  std::string between;
  if (a[0]) {
    LH_TRY(between, to_text(run, *a[0]));
  }
  LH_TRY(const auto path, attribute_path(a[1] ? *a[1] : Value()));
  LH_TRY(const auto items, iterate(run, v));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    LH_TRY(const Value item, follow_path(run, items[i], path));
    LH_TRY(const std::string s, to_text(run, item));
    LH_RETURN_IF_ERROR(run.work(1 + between.size() / 64));
    LH_RETURN_IF_ERROR(run.check_size(out.size() + between.size() + s.size()));
    if (i > 0) out += between;
    out += s;
  }
  return run.text(std::move(out));
}

constexpr FilterRow kFilters[] = {
    {"string", string},
    {"safe", string},
    {"upper", change<to_upper>},
    {"lower", change<to_lower>},
    {"title", change<title>},
    {"capitalize", change<capitalize>},
    {"escape", change<escape_html>},
    {"e", change<escape_html>},
    {"forceescape", change<escape_html>},
    {"trim", trim},
    {"replace", replace},
    {"tojson", tojson},
    {"indent", indent},
    {"center", center},
    {"truncate", truncate},
    {"wordcount", wordcount},
    {"format", format},
    {"urlencode", urlencode},
    {"join", join},
};

}  // namespace

FilterFn find_text_filter(std::string_view name) { return find_filter_row(kFilters, name); }

}  // namespace longhaul::jinja
