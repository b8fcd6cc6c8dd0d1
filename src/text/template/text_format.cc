#include "text/template/text_format.h"

#include <cmath>

#include "text/template/arithmetic.h"
#include "text/template/code_points.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/rendering.h"
#include "text/template/text_ops.h"

namespace longhaul::jinja {
namespace {

// [[fill]align][sign][0][width][,][.precision][type]; a percent format fills the same fields from
// its flags.
struct Spec {
  std::string fill = " ";
  char align = 0;
  char sign = '-';
  bool zero = false;
  bool comma = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

constexpr int64_t kMaxPrecision = 400;

Result<int64_t> read_count(std::string_view s, size_t& at) {
  int64_t n = 0;
  for (; at < s.size() && s[at] >= '0' && s[at] <= '9'; ++at) {
    n = n * 10 + (s[at] - '0');
    if (n > (int64_t{1} << 31)) return invalid("a width in a format is too large");
  }
  return n;
}

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Result<Spec> parse_spec(std::string_view s) {
  Spec spec;
  size_t at = 0;
  const size_t n_fill = s.empty() ? 0 : decode_at(s, 0).n_bytes;
  if (n_fill < s.size() && is_align(s[n_fill])) {
    spec.fill = s.substr(0, n_fill);
    at = n_fill;
  }
  if (at < s.size() && is_align(s[at])) spec.align = s[at++];
  if (at < s.size() && (s[at] == '+' || s[at] == '-' || s[at] == ' ')) spec.sign = s[at++];
  if (at < s.size() && s[at] == '0') spec.zero = (++at, true);
  LH_TRY(spec.width, read_count(s, at));
  if (at < s.size() && s[at] == ',') spec.comma = (++at, true);
  if (at < s.size() && s[at] == '.') {
    const size_t begin = ++at;
    LH_TRY(spec.precision, read_count(s, at));
    if (at == begin) return invalid("a format lacks its precision");
  }
  if (at < s.size()) spec.type = s[at++];
  if (at != s.size()) return invalid("invalid format specification '{}'", s.substr(0, 40));
  return spec;
}

std::string group_thousands(const std::string& digits) {
  const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return out.append(digits, whole, digits.npos);
}

// The digits of a number without its sign.
Result<std::string> number_digits(const Value& v, const Spec& spec) {
  int64_t i = 0;
  const LongInteger* long_integer = v.as_long_integer();
  const bool is_int = v.to_integer(i) || long_integer != nullptr;
  const uint64_t magnitude = i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i);
  const std::string whole = long_integer
                                ? long_integer->digits.substr(long_integer->digits[0] == '-')
                                : fmt::format("{}", magnitude);
  const double x = std::fabs(v.to_double());
  const int precision = static_cast<int>(spec.precision < 0 ? 6 : spec.precision);
  if (spec.precision > kMaxPrecision) return invalid("a format's precision is too large");
  if (long_integer && spec.type != 0 &&
      std::string_view("diu").find(spec.type) == std::string_view::npos) {
    if (std::string_view("xXob").find(spec.type) != std::string_view::npos)
      return invalid("an integer does not fit 64 bits");
    LH_RETURN_IF_ERROR(float_of(v));
  }
  switch (spec.type) {
    case 'd':
    case 'i':
    case 'u': return whole;
    case 'x': return fmt::format("{:x}", magnitude);
    case 'X': return fmt::format("{:X}", magnitude);
    case 'o': return fmt::format("{:o}", magnitude);
    case 'b': return fmt::format("{:b}", magnitude);
    case 'f':
    case 'F': return fmt::format("{:.{}f}", x, precision);
    case 'e': return fmt::format("{:.{}e}", x, precision);
    case 'E': return fmt::format("{:.{}E}", x, precision);
    case 'g': return fmt::format("{:.{}g}", x, precision == 0 ? 1 : precision);
    case 'G': return fmt::format("{:.{}G}", x, precision == 0 ? 1 : precision);
    case '%': return fmt::format("{:.{}f}%", x * 100, precision);
    case 0: break;
    default: return invalid("unknown format code '{}' for a number", spec.type);
  }
  if (is_int) return whole;
  if (spec.precision < 0) return float_text(x);
  return unsupported("a format with a precision needs a type");
}

Result<std::string> format_number(Run& run, const Value& v, const Spec& spec) {
  LH_TRY(std::string digits, number_digits(v, spec));
  if (spec.comma) digits = group_thousands(digits);
  int64_t i = 0;
  const bool negative = v.as_long_integer() ? v.to_double() < 0
                        : v.to_integer(i)
                            ? i < 0
                            : std::signbit(v.to_double()) && !std::isnan(v.to_double());
  std::string sign;
  if (negative || spec.sign != '-') sign.push_back(negative ? '-' : spec.sign);
  const char align = spec.align ? spec.align : spec.zero ? '=' : '>';
  const std::string fill = spec.zero && !spec.align ? "0" : spec.fill;
  if (align != '=') return pad_text(run, sign + digits, spec.width, align, fill);
  LH_TRY(std::string padded,
         pad_text(run, digits, spec.width - static_cast<int64_t>(sign.size()), '>', fill));
  return sign + padded;
}

Result<std::string> format_string(Run& run, std::string_view s, const Spec& spec) {
  if (spec.precision >= 0) {
    size_t end = 0;
    for (int64_t n = 0; n < spec.precision && end < s.size(); ++n) end += decode_at(s, end).n_bytes;
    s = s.substr(0, end);
  }
  return pad_text(run, s, spec.width, spec.align ? spec.align : '<', spec.zero ? "0" : spec.fill);
}

Result<std::string> format_value(Run& run, const Value& v, std::string_view spec_text) {
  if (spec_text.empty()) return to_text(run, v);
  LH_TRY(const Spec spec, parse_spec(spec_text));
  if (v.is_number() && !(v.as_bool() && spec.type == 0)) {
    const bool wants_int =
        spec.type && std::string_view("dxXob").find(spec.type) != std::string_view::npos;
    if (wants_int && v.as_float())
      return invalid("unknown format code '{}' for a float", spec.type);
    return format_number(run, v, spec);
  }
  if (spec.type != 0 && spec.type != 's')
    return invalid("unknown format code '{}' for a {}", spec.type, v.type_name());
  if (!v.as_string() && !v.as_bool())
    return invalid("a {} takes no format specification", v.type_name());
  LH_TRY(const std::string s, to_text(run, v));
  if (v.as_bool()) return format_number(run, v, spec);
  return format_string(run, s, spec);
}

// Walks "{}", "{name}", "{0.attribute[key]!r:>8}".
class BraceFormatter {
 public:
  BraceFormatter(Run& run, std::string_view format, const Args& args)
      : run_(run), s_(format), args_(args) {}

  Result<std::string> format() {
    while (at_ < s_.size()) {
      LH_RETURN_IF_ERROR(run_.work());
      LH_RETURN_IF_ERROR(run_.check_size(out_.size()));
      const char c = s_[at_++];
      if (c != '{' && c != '}') {
        out_ += c;
      } else if (at_ < s_.size() && s_[at_] == c) {
        out_ += c;
        ++at_;
      } else if (c == '}') {
        return invalid("format(): single '}}' in the format");
      } else {
        LH_RETURN_IF_ERROR(field());
      }
    }
    return std::move(out_);
  }

 private:
  Status field() {
    const size_t end = s_.find('}', at_);
    if (end == s_.npos) return invalid("format(): expected '}}' before the end");
    std::string_view body = s_.substr(at_, end - at_);
    at_ = end + 1;
    if (body.find('{') != body.npos)
      return unsupported("format(): nested fields are not supported");
    const size_t colon = std::min(body.find(':'), body.size());
    const std::string_view spec = colon < body.size() ? body.substr(colon + 1) : std::string_view();
    body = body.substr(0, colon);
    char conversion = 0;
    if (const size_t bang = body.find('!'); bang != body.npos) {
      if (body.size() != bang + 2) return invalid("format(): a conversion is one letter");
      conversion = body[bang + 1];
      body = body.substr(0, bang);
    }
    LH_TRY(Value v, lookup(body));
    if (conversion == 'r' || conversion == 's') {
      LH_TRY(std::string s, conversion == 'r' ? to_repr(run_, v) : to_text(run_, v));
      v = run_.text(std::move(s));
    } else if (conversion != 0) {
      return invalid("format(): unknown conversion '{}'", conversion);
    }
    LH_TRY(const std::string text, format_value(run_, v, spec));
    out_ += text;
    return {};
  }

  Result<Value> lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    LH_TRY(Value v, argument(path.substr(0, end)));
    for (path.remove_prefix(end); !path.empty();) {
      const bool bracket = path[0] == '[';
      const size_t stop =
          bracket ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
      if (stop == path.npos || (!bracket && path[0] != '.'))
        return invalid("format(): malformed field name");
      const std::string_view name = path.substr(1, stop - 1);
      int64_t index = 0;
      const bool numeric = bracket && parse_int(name, 10, index);
      LH_TRY(v, bracket ? get_item(run_, v, numeric ? Value(index) : run_.text(std::string(name)))
                        : get_attribute(run_, v, name));
      path.remove_prefix(bracket ? stop + 1 : stop);
    }
    return v;
  }

  Result<Value> argument(std::string_view name) {
    int64_t index = next_;
    if (name.empty()) {
      ++next_;
    } else if (!parse_int(name, 10, index)) {
      for (const auto& [key, value] : args_.named) {
        if (key == name) return value;
      }
      return invalid("format(): no argument '{}'", name);
    }
    if (index < 0 || index >= static_cast<int64_t>(args_.positional.size()))
      return invalid("format(): no argument {}", index);
    return args_.positional[static_cast<size_t>(index)];
  }

  Run& run_;
  std::string_view s_;
  const Args& args_;
  size_t at_ = 0;
  int64_t next_ = 0;
  std::string out_;
};

// Walks "%s", "%-8.3f", "%(key)d".
class PercentFormatter {
 public:
  PercentFormatter(Run& run, std::string_view format, const Value& values)
      : run_(run), s_(format), values_(values) {}

  Result<std::string> format() {
    while (at_ < s_.size()) {
      LH_RETURN_IF_ERROR(run_.work());
      LH_RETURN_IF_ERROR(run_.check_size(out_.size()));
      const char c = s_[at_++];
      if (c != '%') {
        out_ += c;
      } else {
        LH_RETURN_IF_ERROR(conversion());
      }
    }
    if (!all_used()) return invalid("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  // A value with subscripts may be a mapping whose keys the format did not ask for.
  bool all_used() const {
    const Seq* seq = values_.as_seq();
    if (seq && seq->kind == SeqKind::kTuple) return next_ == seq->items.size();
    return next_ == 1 || values_.as_dict() || values_.is_undefined() ||
           (seq && seq->kind <= SeqKind::kRange);
  }

  Result<Value> next_value() {
    if (values_.is_seq(SeqKind::kTuple)) {
      if (next_ >= values_.as_seq()->items.size())
        return invalid("not enough arguments for the format");
      return values_.as_seq()->items[next_++];
    }
    if (next_++ > 0) return invalid("not enough arguments for the format");
    return values_;
  }

  Result<Value> keyed_value() {
    const size_t end = s_.find(')', at_);
    if (end == s_.npos) return invalid("incomplete format key");
    if (!values_.as_dict()) return invalid("the format requires a mapping");
    const std::string key(s_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    const Value* v = values_.as_dict()->find(key);
    if (!v) return invalid("the format's key '{}' is missing", key);
    return *v;
  }

  Status conversion() {
    const bool keyed = at_ < s_.size() && s_[at_] == '(';
    Value v;
    if (keyed) {
      LH_TRY(v, keyed_value());
    }
    Spec spec;
    spec.align = '>';
    bool left = false;
    for (; at_ < s_.size() && std::string_view("-+ 0#").find(s_[at_]) != std::string_view::npos;
         ++at_) {
      if (s_[at_] == '-') left = true;
      if (s_[at_] == '0') spec.zero = true;
      if (s_[at_] == '+' || (s_[at_] == ' ' && spec.sign != '+')) spec.sign = s_[at_];
    }
    LH_TRY(spec.width, read_count(s_, at_));
    if (at_ < s_.size() && s_[at_] == '.') {
      ++at_;
      LH_TRY(spec.precision, read_count(s_, at_));
    }
    if (at_ >= s_.size()) return invalid("incomplete format");
    spec.type = s_[at_++];
    if (spec.type == '%') {
      out_ += '%';
      return {};
    }
    if (!keyed) {
      LH_TRY(v, next_value());
    }
    if (left) spec.align = '<';
    LH_TRY(const std::string text, convert(v, spec, left));
    out_ += text;
    return {};
  }

  Result<std::string> convert(const Value& v, Spec spec, bool left) {
    if (spec.type == 's' || spec.type == 'r') {
      LH_TRY(const std::string s, spec.type == 's' ? to_text(run_, v) : to_repr(run_, v));
      spec.zero = false;
      return format_string(run_, s, spec);
    }
    if (std::string_view("diuxXoeEfFgG").find(spec.type) == std::string_view::npos) {
      return invalid("unsupported format character '{}'", spec.type);
    }
    if (v.is_undefined()) return undefined_error(v);
    if (!v.is_number())
      return invalid("%{} format: a real number is required, not {}", spec.type, v.type_name());
    if (spec.zero && !left) spec.align = 0;
    if (left) spec.zero = false;
    const bool to_int = std::string_view("diu").find(spec.type) != std::string_view::npos;
    if (to_int && v.as_float()) {
      if (!std::isfinite(*v.as_float()))
        return invalid("%{} format: no integer is like {}", spec.type, float_text(*v.as_float()));
      return format_number(run_, truncated(*v.as_float()), spec);
    }
    const bool needs_int = spec.type == 'x' || spec.type == 'X' || spec.type == 'o';
    if (needs_int && v.as_float())
      return invalid("%{} format: an integer is required, not float", spec.type);
    return format_number(run_, v, spec);
  }

  Run& run_;
  std::string_view s_;
  const Value& values_;
  size_t at_ = 0;
  size_t next_ = 0;
  std::string out_;
};

}  // namespace

Result<Value> percent_format(Run& run, const std::string& format, const Value& values) {
  LH_TRY(std::string out, PercentFormatter(run, format, values).format());
  return run.text(std::move(out));
}

Result<Value> brace_format(Run& run, const std::string& format, const Args& args) {
  LH_TRY(std::string out, BraceFormatter(run, format, args).format());
  return run.text(std::move(out));
}

}  // namespace longhaul::jinja
