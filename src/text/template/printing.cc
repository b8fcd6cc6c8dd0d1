#include "text/template/printing.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/template/code_points.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

void append_hex(std::string& out, char letter, uint32_t value, int digits) {
  out += fmt::format("\\{}{:0{}x}", letter, value, digits);
}

void append_string_repr(std::string& out, const std::string& s) {
  const char quote = s.find('\'') != s.npos && s.find('"') == s.npos ? '"' : '\'';
  out += quote;
  for (size_t at = 0; at < s.size();) {
    const Utf8Char c = utf8_char_at(s, at);
    if (c.code_point == '\\' || c.code_point == static_cast<unsigned char>(quote)) {
      out += '\\';
      out += static_cast<char>(c.code_point);
    } else if (c.code_point == '\n') {
      out += "\\n";
    } else if (c.code_point == '\r') {
      out += "\\r";
    } else if (c.code_point == '\t') {
      out += "\\t";
    } else if (is_printable(c.code_point)) {
      out.append(s, at, c.size);
    } else if (c.code_point < 0x100) {
      append_hex(out, 'x', c.code_point, 2);
    } else if (c.code_point < 0x10000) {
      append_hex(out, 'u', c.code_point, 4);
    } else {
      append_hex(out, 'U', c.code_point, 8);
    }
    at += c.size;
  }
  out += quote;
}

void append_json_string(std::string& out, const std::string& s, bool ascii) {
  out += '"';
  for (size_t at = 0; at < s.size();) {
    const Utf8Char c = utf8_char_at(s, at);
    switch (c.code_point) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\f': out += "\\f"; break;
      case '\b': out += "\\b"; break;
      default:
        if (c.code_point < 0x20 || (ascii && c.code_point >= 0x7f && c.code_point < 0x10000)) {
          append_hex(out, 'u', c.code_point, 4);
        } else if (ascii && c.code_point >= 0x10000) {
          append_hex(out, 'u', 0xd800 + ((c.code_point - 0x10000) >> 10), 4);
          append_hex(out, 'u', 0xdc00 + ((c.code_point - 0x10000) & 0x3ff), 4);
        } else {
          out.append(s, at, c.size);
        }
    }
    at += c.size;
  }
  out += '"';
}

class ReprWriter {
 public:
  explicit ReprWriter(Run& run) : run_(run) {}

  Status write(const Value& v) {
    LH_RETURN_IF_ERROR(run_.work());
    LH_RETURN_IF_ERROR(run_.check_size(out.size()));
    switch (v.kind()) {
      case Value::Kind::kUndefined: out += "Undefined"; return {};
      case Value::Kind::kNone: out += "None"; return {};
      case Value::Kind::kBool: out += *v.as_bool() ? "True" : "False"; return {};
      case Value::Kind::kInt: out += fmt::format("{}", *v.as_int()); return {};
      case Value::Kind::kLongInt: out += v.as_long_integer()->digits; return {};
      case Value::Kind::kFloat: out += float_text(*v.as_float()); return {};
      case Value::Kind::kString:
        LH_RETURN_IF_ERROR(run_.work(v.as_string()->size() / 64));
        append_string_repr(out, *v.as_string());
        return {};
      case Value::Kind::kObject: out += fmt::format("<{}>", v.as_object()->describe()); return {};
      case Value::Kind::kDict: return write_dict(*v.as_dict());
      case Value::Kind::kSeq: return write_seq(*v.as_seq());
    }
    return {};
  }

  std::string out;

 private:
  Status write_dict(const Dict& d) {
    out += '{';
    bool first = true;
    for (const auto& [key, value] : d.items()) {
      if (!std::exchange(first, false)) out += ", ";
      LH_RETURN_IF_ERROR(write(key));
      out += ": ";
      LH_RETURN_IF_ERROR(write(value));
    }
    out += '}';
    return {};
  }

  Status write_seq(const Seq& s) {
    static constexpr std::pair<const char*, const char*> kBrackets[] = {{"[", "]"},
                                                                        {"(", ")"},
                                                                        {"", ""},
                                                                        {"dict_keys([", "])"},
                                                                        {"dict_values([", "])"},
                                                                        {"dict_items([", "])"},
                                                                        {"", ""}};
    if (s.kind == SeqKind::kRange) {
      out += s.label;
      return {};
    }
    if (s.kind == SeqKind::kGenerator) {
      out += "<generator object>";
      return {};
    }
    const auto& [open, close] = kBrackets[static_cast<size_t>(s.kind)];
    out += open;
    for (size_t i = 0; i < s.items.size(); ++i) {
      if (i > 0) out += ", ";
      LH_RETURN_IF_ERROR(write(s.items[i]));
    }
    if (s.kind == SeqKind::kTuple && s.items.size() == 1) out += ',';
    out += close;
    return {};
  }

  Run& run_;
};

class JsonWriter {
 public:
  JsonWriter(Run& run, const JsonStyle& style) : run_(run), style_(style) {}

  Status write(const Value& v, size_t level) {
    LH_RETURN_IF_ERROR(run_.work());
    LH_RETURN_IF_ERROR(run_.check_size(out.size()));
    if (const auto* s = v.as_string()) {
      LH_RETURN_IF_ERROR(run_.work(s->size() / 64));
      append_json_string(out, *s, style_.ascii);
      return {};
    }
    if (const auto* d = v.as_dict()) return write_dict(*d, level);
    if (v.is_seq(SeqKind::kList) || v.is_seq(SeqKind::kTuple))
      return write_list(*v.as_seq(), level);
    if (v.is_none() || v.is_number()) {
      out += scalar(v);
      return {};
    }
    return invalid("a value of type {} is not JSON serializable", v.type_name());
  }

  std::string out;

 private:
  static std::string scalar(const Value& v) {
    if (v.is_none()) return "null";
    if (const auto* b = v.as_bool()) return *b ? "true" : "false";
    if (const auto* i = v.as_int()) return fmt::format("{}", *i);
    if (const auto* n = v.as_long_integer()) return n->digits;
    const double d = *v.as_float();
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d > 0 ? "Infinity" : "-Infinity";
    return float_text(d);
  }

  Status new_line(size_t level) {
    if (!style_.multiline) return {};
    LH_RETURN_IF_ERROR(run_.check_size(out.size() + level * style_.indent.size()));
    LH_RETURN_IF_ERROR(run_.work(level * style_.indent.size() / 64));
    out += '\n';
    for (size_t i = 0; i < level; ++i) out += style_.indent;
    return {};
  }

  Status write_list(const Seq& s, size_t level) {
    if (s.items.empty()) {
      out += "[]";
      return {};
    }
    out += '[';
    for (size_t i = 0; i < s.items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      LH_RETURN_IF_ERROR(new_line(level + 1));
      LH_RETURN_IF_ERROR(write(s.items[i], level + 1));
    }
    LH_RETURN_IF_ERROR(new_line(level));
    out += ']';
    return {};
  }

  Status write_dict(const Dict& d, size_t level) {
    if (d.items().empty()) {
      out += "{}";
      return {};
    }
    std::vector<const Dict::Item*> items;
    for (const auto& item : d.items()) items.push_back(&item);
    if (style_.sort_keys) LH_RETURN_IF_ERROR(sort(items));
    out += '{';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      LH_RETURN_IF_ERROR(new_line(level + 1));
      const auto& [key, value] = *items[i];
      if (!key.as_string() && !key.is_none() && !key.is_number())
        return invalid("a JSON key cannot be a {}", key.type_name());
      append_json_string(out, key.as_string() ? *key.as_string() : scalar(key), style_.ascii);
      out += style_.key_separator;
      LH_RETURN_IF_ERROR(write(value, level + 1));
    }
    LH_RETURN_IF_ERROR(new_line(level));
    out += '}';
    return {};
  }

  Status sort(std::vector<const Dict::Item*>& items) {
    LH_RETURN_IF_ERROR(run_.work(items.size()));
    Status failed;
    std::stable_sort(items.begin(), items.end(), [&](const auto* a, const auto* b) {
      auto before = less(a->first, b->first);
      if (!before.ok()) failed = before.take_error();
      return before.ok() && *before;
    });
    return failed;
  }

  Run& run_;
  const JsonStyle& style_;
};

}  // namespace

// Python's repr of a float: the shortest digits that read back, with an exponent below 1e-4 and
// from 1e16 on.
std::string float_text(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  const int exponent = std::stoi(std::string(text.substr(e + 1)));
  if (exponent < -4 || exponent >= 16) return std::string(text);
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const std::string sign = text[0] == '-' ? "-" : "";
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto n_whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= n_whole)
    return sign + digits + std::string(n_whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, n_whole) + "." + digits.substr(n_whole);
}

Result<std::string> to_text(Run& run, const Value& v) {
  if (const auto* s = v.as_string()) {
    LH_RETURN_IF_ERROR(run.work(s->size() / 64));
    return *s;
  }
  if (v.is_undefined()) return std::string();
  return to_repr(run, v);
}

Result<std::string> to_repr(Run& run, const Value& v) {
  ReprWriter writer(run);
  LH_RETURN_IF_ERROR(writer.write(v));
  LH_RETURN_IF_ERROR(run.check_size(writer.out.size()));
  return std::move(writer.out);
}

Result<std::string> to_json_text(Run& run, const Value& v, const JsonStyle& style) {
  JsonWriter writer(run, style);
  LH_RETURN_IF_ERROR(writer.write(v, 0));
  LH_RETURN_IF_ERROR(run.check_size(writer.out.size()));
  return std::move(writer.out);
}

}  // namespace longhaul::jinja
