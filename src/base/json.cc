#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/printable.h"

namespace longhaul {
namespace {

// characters; Python reads integers of so many digits and none of more
constexpr size_t kMaxNumber = 4300;
constexpr int64_t kMaxExponent = 4900;
// the library's message quotes the token it read, however long
constexpr size_t kMaxMessageBytes = 300;

// The library refuses a number that its float type cannot hold. Numbers are kept as text, so the
// type only has to reach as far as the limits above.
using LibraryJson =
    nlohmann::basic_json<std::map, std::vector, std::string, bool, int64_t, uint64_t, long double>;

// Adapts the library's SAX interface to JsonHandler, adding the depth limit.
class SaxAdapter : public nlohmann::json_sax<LibraryJson> {
 public:
  SaxAdapter(JsonHandler& handler, std::string_view where, JsonLimits limits)
      : handler_(handler), where_(where), limits_(limits) {}

  bool null() override { return scalar(Json()); }
  bool boolean(bool b) override { return scalar(Json(b)); }
  // The library calls this for negative numbers alone: 0 was written -0.
  bool number_integer(number_integer_t i) override {
    return scalar(i == 0 ? *Json::parse_number("-0") : Json(static_cast<int64_t>(i)));
  }
  bool number_unsigned(number_unsigned_t i) override {
    return scalar(Json(static_cast<uint64_t>(i)));
  }
  bool number_float(number_float_t, const string_t& text) override {
    auto number = Json::parse_number(text);
    if (number) return scalar(std::move(*number));
    fail(corrupt("{}: a number of {} characters, at most {} are read; write it as a string", where_,
                 text.size(), kMaxNumber));
    return false;
  }
  bool string(string_t& s) override { return scalar(Json(std::move(s))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return enter() && checked(handler_.on_begin_object()); }
  bool key(string_t& k) override { return checked(handler_.on_key(k)); }
  bool end_object() override { return leave() && checked(handler_.on_end_object()); }
  bool start_array(size_t) override { return enter() && checked(handler_.on_begin_array()); }
  bool end_array() override { return leave() && checked(handler_.on_end_array()); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    // The library's message starts with its own error code in brackets; what follows is for people.
    std::string_view what = e.what();
    if (const auto end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
    fail(corrupt("{}: not valid JSON at byte {}: {}", where_, position,
                 printable(what, kMaxMessageBytes)));
    return false;
  }

  Error take_error() { return std::move(error_); }

 private:
  bool scalar(Json value) { return checked(handler_.on_scalar(std::move(value))); }
  bool checked(bool go_on) {
    if (!go_on) fail(handler_.stop_reason());
    return go_on;
  }
  bool enter() {
    if (++depth_ <= limits_.max_depth) return true;
    fail(corrupt("{}: JSON nested deeper than {}", where_, limits_.max_depth));
    return false;
  }
  bool leave() {
    --depth_;
    return true;
  }
  void fail(Error error) {
    if (!failed_) error_ = std::move(error);
    failed_ = true;
  }

  JsonHandler& handler_;
  std::string_view where_;
  JsonLimits limits_;
  int depth_ = 0;
  bool failed_ = false;
  Error error_;
};

constexpr auto kReplaceBadUtf8 = nlohmann::json::error_handler_t::replace;

std::string library_text(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, kReplaceBadUtf8);
}

// Whether JSON has a number of this spelling.
bool spells_number(std::string_view text) {
  const auto take = [&](std::string_view any_of) {
    const bool there = !text.empty() && any_of.find(text.front()) != any_of.npos;
    if (there) text.remove_prefix(1);
    return there;
  };
  const auto take_digits = [&] {
    const size_t n = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(n);
    return n > 0;
  };
  take("-");
  if (!take("0") && !take_digits()) return false;
  if (take(".") && !take_digits()) return false;
  if (take("eE")) {
    take("+-");
    if (!take_digits()) return false;
  }
  return text.empty();
}

// The power of ten by which a number's first digit that counts is multiplied, about: a point counts
// as a digit before it.
int64_t decimal_exponent(std::string_view text) {
  const size_t mark = std::min(text.find_first_of("eE"), text.size());
  int64_t exponent = 0;
  if (mark < text.size()) {
    const size_t digits = mark + (text[mark + 1] == '+' ? 2 : 1);
    if (std::from_chars(text.data() + digits, text.data() + text.size(), exponent).ec !=
        std::errc()) {
      exponent = text[digits] == '-' ? INT32_MIN : INT32_MAX;
    }
  }
  const std::string_view mantissa = text.substr(0, mark);
  const size_t first = mantissa.find_first_of("123456789");
  if (first == mantissa.npos) return 0;
  return std::clamp<int64_t>(exponent, INT32_MIN, INT32_MAX) +
         static_cast<int64_t>(std::min(mantissa.find('.'), mantissa.size())) -
         static_cast<int64_t>(first);
}

// The double nearest to what `text` spells; infinite or zero beyond their range.
double nearest_double(std::string_view text) {
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc::result_out_of_range) return value;
  const double limit = decimal_exponent(text) > 0 ? HUGE_VAL : 0.0;
  return text.starts_with('-') ? -limit : limit;
}

struct JsonStyle {
  int indent = -1;  // < 0: one line
  std::string_view item_separator = ",", key_separator = ":";
};

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Json& j, int level) {
    if (const auto* items = j.as_array()) {
      write_all(*items, "[]", level, [&](const Json& item) { write(item, level + 1); });
    } else if (const auto* members = j.as_object()) {
      write_all(*members, "{}", level, [&](const Json::Member& member) {
        out += library_text(member.first);
        out += style_.key_separator;
        write(member.second, level + 1);
      });
    } else {
      write_scalar(j);
    }
  }

  std::string out;

 private:
  template <class Items, class WriteItem>
  void write_all(const Items& items, std::string_view brackets, int level,
                 const WriteItem& write_item) {
    out += brackets[0];
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      new_line(level + 1);
      write_item(items[i]);
    }
    if (!items.empty()) new_line(level);
    out += brackets[1];
  }

  void new_line(int level) {
    if (style_.indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(style_.indent) * static_cast<size_t>(level), ' ');
  }

  void write_scalar(const Json& j) {
    if (const auto* b = j.as_bool()) {
      out += *b ? "true" : "false";
    } else if (const auto* i = j.as_int()) {
      out += std::to_string(*i);
    } else if (const auto* d = j.as_double()) {
      out += library_text(*d);
    } else if (const auto* number = j.as_written()) {
      out += number->text;
    } else if (const auto* s = j.as_string()) {
      out += library_text(*s);
    } else {
      out += "null";
    }
  }

  const JsonStyle& style_;
};

std::string dumped(const Json& j, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(j, 0);
  return std::move(writer.out);
}

}  // namespace

Json::Json(uint64_t i) {
  if (i <= static_cast<uint64_t>(INT64_MAX)) {
    v_ = static_cast<int64_t>(i);
  } else {
    v_ = std::make_shared<const WrittenNumber>(
        WrittenNumber{std::to_string(i), static_cast<double>(i), true});
  }
}

std::optional<Json> Json::parse_number(std::string_view text) {
  if (text.size() > kMaxNumber || !spells_number(text) || decimal_exponent(text) > kMaxExponent)
    return std::nullopt;
  const bool is_integer = text.find_first_of(".eE") == text.npos;
  int64_t i = 0;
  if (is_integer && text != "-0" &&
      std::from_chars(text.data(), text.data() + text.size(), i).ec == std::errc())
    return Json(i);
  const double value = nearest_double(text);
  if (!is_integer && std::isfinite(value) && library_text(value) == text) return Json(value);
  Json out;
  out.v_ =
      std::make_shared<const WrittenNumber>(WrittenNumber{std::string(text), value, is_integer});
  return out;
}

const WrittenNumber* Json::as_written() const {
  const auto* number = std::get_if<std::shared_ptr<const WrittenNumber>>(&v_);
  return number == nullptr ? nullptr : number->get();
}

double Json::number() const {
  if (const auto* i = as_int()) return static_cast<double>(*i);
  if (const auto* d = as_double()) return *d;
  const auto* written = as_written();
  return written == nullptr ? 0 : written->value;
}

const Json* Json::find(std::string_view key) const {
  const auto* object = as_object();
  if (object == nullptr) return nullptr;
  const auto it =
      std::find_if(object->begin(), object->end(), [&](const Member& m) { return m.first == key; });
  return it == object->end() ? nullptr : &it->second;
}

Json& Json::set(std::string key, Json value) {
  if (is_null()) v_ = Object{};
  auto& object = std::get<Object>(v_);
  for (auto& [name, old] : object) {
    if (name == key) return old = std::move(value);
  }
  object.emplace_back(std::move(key), std::move(value));
  return object.back().second;
}

void Json::push_back(Json value) {
  if (is_null()) v_ = Array{};
  std::get<Array>(v_).push_back(std::move(value));
}

const char* Json::type_name() const {
  static constexpr const char* kNames[] = {"null",     "a boolean", "an integer", "a number",
                                           "a string", "an array",  "an object",  "a number"};
  return kNames[v_.index()];
}

std::string Json::dump(int indent) const {
  return dumped(*this, {.indent = indent, .key_separator = indent < 0 ? ":" : ": "});
}

std::string Json::dump_spaced() const {
  return dumped(*this, {.item_separator = ", ", .key_separator = ": "});
}

bool JsonTreeBuilder::on_scalar(Json value) { return add(std::move(value)); }
bool JsonTreeBuilder::on_begin_object() {
  open_.push_back({Json(Json::Object{}), {}, {}});
  return true;
}
bool JsonTreeBuilder::on_begin_array() {
  open_.push_back({Json(Json::Array{}), {}, {}});
  return true;
}
bool JsonTreeBuilder::on_key(std::string& key) {
  if (!open_.back().keys.insert(key).second) {
    error_ = corrupt("{}: key '{}' stands twice in one object", where_, printable(key));
    return false;
  }
  open_.back().key = std::move(key);
  return true;
}
bool JsonTreeBuilder::on_end_object() { return close(); }
bool JsonTreeBuilder::on_end_array() { return close(); }

bool JsonTreeBuilder::close() {
  Json done = std::move(open_.back().value);
  open_.pop_back();
  return add(std::move(done));
}

bool JsonTreeBuilder::add(Json value) {
  if (open_.empty()) {
    root_ = std::move(value);
  } else if (auto* array = open_.back().value.as_array()) {
    array->push_back(std::move(value));
  } else {
    open_.back().value.as_object()->emplace_back(std::move(open_.back().key), std::move(value));
  }
  return true;
}

static constexpr const char* kCorrectJson = "correct the text there, or download the file again";

Status parse_json_events(std::string_view text, std::string_view where, JsonHandler& handler,
                         JsonLimits limits) {
  // The library takes a NUL byte for the end of the text and would accept anything behind it.
  if (const auto nul = text.find('\0'); nul != text.npos)
    return or_remedy<void>(corrupt("{}: not valid JSON at byte {}: a NUL byte", where, nul + 1),
                           kCorrectJson);
  SaxAdapter adapter(handler, where, limits);
  if (LibraryJson::sax_parse(text, &adapter)) return {};
  return or_remedy<void>(adapter.take_error(), kCorrectJson);
}

Result<Json> parse_json(std::string_view text, std::string_view where, JsonLimits limits) {
  JsonTreeBuilder builder(where);
  LH_RETURN_IF_ERROR(parse_json_events(text, where, builder, limits));
  return builder.take();
}

}  // namespace longhaul
