// Filters that make text, and `int`, which reads one.
#include <algorithm>
#include <cmath>

#include "text/template/arithmetic.h"
#include "text/template/bound_arguments.h"
#include "text/template/code_points.h"
#include "text/template/filters.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/rendering.h"
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

Result<Value> trim(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("trim", args, {"chars"}));
  LH_TRY(const std::string chars, a.string(0, ""));
  LH_TRY(const std::string s, to_text(run, v));
  LH_RETURN_IF_ERROR(run.work(chars.size() * (1 + s.size() / 64)));
  std::vector<uint32_t> set;
  for (size_t at = 0; at < chars.size(); at += utf8_char_at(chars, at).size)
    set.push_back(utf8_char_at(chars, at).code_point);
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
  for (const std::string_view line : split_lines(s)) {
    LH_RETURN_IF_ERROR(run.work(1 + pad.size() / 64));
    LH_RETURN_IF_ERROR(run.check_size(out.size() + pad.size() + line.size()));
    if (!first) out += '\n';
    if (first ? a.truthy(1) : a.truthy(2) || !line.empty()) out += pad;
    out += line;
    first = false;
  }
  return run.text(std::move(out));
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

Result<Value> to_int(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("int", args, {"default"}));
  const Value fallback = a[0] ? *a[0] : Value(int64_t{0});
  if (v.is_undefined()) return undefined_error(v);
  int64_t i = 0;
  if (v.to_integer(i)) return Value(i);
  if (v.as_long_integer()) return v;
  double d = 0;
  if (const auto* s = v.as_string()) {
    Value parsed;
    if (s->find('_') != s->npos) return unsupported("int: '_' between digits is not supported");
    if (parse_integer(*s, parsed)) return parsed;
    if (!parse_float(*s, d)) return fallback;
  } else if (v.as_float()) {
    d = *v.as_float();
  } else {
    return fallback;
  }
  return std::isfinite(d) ? truncated(d) : fallback;
}

constexpr FilterRow kFilters[] = {
    {"string", string},
    {"safe", string},
    {"upper", change<to_upper>},
    {"lower", change<to_lower>},
    {"title", change<title>},
    {"capitalize", change<capitalize>},
    {"trim", trim},
    {"replace", replace},
    {"tojson", tojson},
    {"indent", indent},
    {"join", join},
    {"int", to_int},
};

}  // namespace

std::span<const FilterRow> text_filters() { return kFilters; }

}  // namespace longhaul::jinja
