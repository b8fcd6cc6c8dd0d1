#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/printable.h"

namespace longhaul {
namespace {

constexpr size_t kMaxMessageBytes = 300;  // the library's message quotes the token it read, however long

// Adapts the library's SAX interface to JsonHandler, adding the depth limit.
class SaxAdapter : public nlohmann::json_sax<nlohmann::json> {
 public:
  SaxAdapter(JsonHandler& handler, std::string_view where, JsonLimits limits) : handler_(handler), where_(where), limits_(limits) {}

  bool null() override { return scalar(Json()); }
  bool boolean(bool b) override { return scalar(Json(b)); }
  bool number_integer(number_integer_t i) override { return scalar(Json(static_cast<int64_t>(i))); }
  bool number_unsigned(number_unsigned_t i) override { return scalar(Json(static_cast<uint64_t>(i))); }
  bool number_float(number_float_t d, const string_t&) override { return scalar(Json(static_cast<double>(d))); }
  bool string(string_t& s) override { return scalar(Json(std::move(s))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return enter() && checked(handler_.on_begin_object()); }
  bool key(string_t& k) override { return checked(handler_.on_key(k)); }
  bool end_object() override { return leave() && checked(handler_.on_end_object()); }
  bool start_array(size_t) override { return enter() && checked(handler_.on_begin_array()); }
  bool end_array() override { return leave() && checked(handler_.on_end_array()); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    // The library's message starts with its own error code in brackets; what follows is for people.
    std::string_view what = e.what();
    if (const auto end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
    fail(corrupt("{}: not valid JSON at byte {}: {}", where_, position, printable(what, kMaxMessageBytes)));
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

nlohmann::ordered_json to_library(const Json& j) {
  if (const auto* b = j.as_bool()) return *b;
  if (const auto* i = j.as_int()) return *i;
  if (const auto* d = j.as_double()) return *d;
  if (const auto* s = j.as_string()) return *s;
  if (const auto* a = j.as_array()) {
    auto out = nlohmann::ordered_json::array();
    for (const auto& item : *a) out.push_back(to_library(item));
    return out;
  }
  if (const auto* o = j.as_object()) {
    auto out = nlohmann::ordered_json::object();
    for (const auto& [key, value] : *o) out[key] = to_library(value);
    return out;
  }
  return nullptr;
}

}  // namespace

Json::Json(uint64_t i) {
  if (i <= static_cast<uint64_t>(INT64_MAX)) {
    v_ = static_cast<int64_t>(i);
  } else {
    v_ = static_cast<double>(i);
  }
}

double Json::number() const {
  if (const auto* i = as_int()) return static_cast<double>(*i);
  if (const auto* d = as_double()) return *d;
  return 0;
}

const Json* Json::find(std::string_view key) const {
  const auto* object = as_object();
  if (object == nullptr) return nullptr;
  const auto it = std::find_if(object->begin(), object->end(), [&](const Member& m) { return m.first == key; });
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
  static constexpr const char* kNames[] = {"null", "a boolean", "an integer", "a number", "a string", "an array", "an object"};
  return kNames[v_.index()];
}

std::string Json::dump(int indent) const {
  return to_library(*this).dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
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

Status parse_json_events(std::string_view text, std::string_view where, JsonHandler& handler, JsonLimits limits) {
  // The library takes a NUL byte for the end of the text and would accept anything behind it.
  if (const auto nul = text.find('\0'); nul != text.npos) return corrupt("{}: not valid JSON at byte {}: a NUL byte", where, nul + 1);
  SaxAdapter adapter(handler, where, limits);
  if (nlohmann::json::sax_parse(text, &adapter)) return {};
  return adapter.take_error();
}

Result<Json> parse_json(std::string_view text, std::string_view where, JsonLimits limits) {
  JsonTreeBuilder builder(where);
  LH_RETURN_IF_ERROR(parse_json_events(text, where, builder, limits));
  return builder.take();
}

}  // namespace longhaul
