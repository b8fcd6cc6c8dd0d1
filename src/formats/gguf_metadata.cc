#include "formats/gguf_metadata.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace longhaul {
namespace {

static_assert(std::endian::native == std::endian::little);

template <class T>
T load(std::span<const std::byte> bytes, uint64_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
  return value;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_float(GgufValueType type) {
  return type == GgufValueType::kF32 || type == GgufValueType::kF64;
}

bool is_integer(GgufValueType type) {
  return !is_float(type) && type != GgufValueType::kBool && type != GgufValueType::kString;
}

// Elements as a vector, or nothing where `at` gives nothing for one.
template <class T, class At>
std::optional<std::vector<T>> collect(uint64_t n, At at) {
  std::vector<T> values;
  values.reserve(n);
  for (uint64_t i = 0; i < n; ++i) {
    const auto value = at(i);
    if (!value) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

}  // namespace

const char* to_string(GgufValueType type) {
  switch (type) {
    case GgufValueType::kU8: return "u8";
    case GgufValueType::kI8: return "i8";
    case GgufValueType::kU16: return "u16";
    case GgufValueType::kI16: return "i16";
    case GgufValueType::kU32: return "u32";
    case GgufValueType::kI32: return "i32";
    case GgufValueType::kF32: return "f32";
    case GgufValueType::kBool: return "bool";
    case GgufValueType::kString: return "string";
    case GgufValueType::kU64: return "u64";
    case GgufValueType::kI64: return "i64";
    case GgufValueType::kF64: return "f64";
  }
  return "unknown";
}

uint64_t bytes_per_value(GgufValueType type) {
  switch (type) {
    case GgufValueType::kU8:
    case GgufValueType::kI8:
    case GgufValueType::kBool: return 1;
    case GgufValueType::kU16:
    case GgufValueType::kI16: return 2;
    case GgufValueType::kU32:
    case GgufValueType::kI32:
    case GgufValueType::kF32: return 4;
    case GgufValueType::kU64:
    case GgufValueType::kI64:
    case GgufValueType::kF64: return 8;
    case GgufValueType::kString: return 0;
  }
  return 0;
}

std::string GgufValue::type_name() const {
  return is_array_ ? std::string("array of ") + to_string(type_) : to_string(type_);
}

std::optional<int64_t> GgufValue::int_at(uint64_t i) const {
  switch (type_) {
    case GgufValueType::kU8: return load<uint8_t>(bytes_, i);
    case GgufValueType::kI8: return load<int8_t>(bytes_, i);
    case GgufValueType::kU16: return load<uint16_t>(bytes_, i);
    case GgufValueType::kI16: return load<int16_t>(bytes_, i);
    case GgufValueType::kU32: return load<uint32_t>(bytes_, i);
    case GgufValueType::kI32: return load<int32_t>(bytes_, i);
    case GgufValueType::kI64: return load<int64_t>(bytes_, i);
    case GgufValueType::kU64: {
      const auto value = load<uint64_t>(bytes_, i);
      if (value > uint64_t{std::numeric_limits<int64_t>::max()}) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default: return std::nullopt;
  }
}

std::optional<double> GgufValue::float_at(uint64_t i) const {
  if (type_ == GgufValueType::kF32) return load<float>(bytes_, i);
  if (type_ == GgufValueType::kF64) return load<double>(bytes_, i);
  return std::nullopt;
}

std::optional<bool> GgufValue::bool_at(uint64_t i) const {
  const auto value =
      type_ == GgufValueType::kBool ? std::optional<int64_t>(load<uint8_t>(bytes_, i)) : int_at(i);
  if (!value || (*value != 0 && *value != 1)) return std::nullopt;
  return *value == 1;
}

std::optional<int64_t> GgufValue::as_int() const { return is_array_ ? std::nullopt : int_at(0); }

std::optional<double> GgufValue::as_float() const { return is_array_ ? std::nullopt : float_at(0); }

std::optional<bool> GgufValue::as_bool() const { return is_array_ ? std::nullopt : bool_at(0); }

std::optional<std::string_view> GgufValue::as_string() const {
  if (is_array_ || type_ != GgufValueType::kString) return std::nullopt;
  return as_text(bytes_);
}

std::optional<std::vector<int64_t>> GgufValue::as_ints() const {
  if (!is_array_ || !is_integer(type_)) return std::nullopt;
  return collect<int64_t>(size_, [&](uint64_t i) { return int_at(i); });
}

std::optional<std::vector<double>> GgufValue::as_floats() const {
  if (!is_array_ || !is_float(type_)) return std::nullopt;
  return collect<double>(size_, [&](uint64_t i) { return float_at(i); });
}

std::optional<std::vector<bool>> GgufValue::as_bools() const {
  if (!is_array_ || !(type_ == GgufValueType::kBool || is_integer(type_))) return std::nullopt;
  return collect<bool>(size_, [&](uint64_t i) { return bool_at(i); });
}

std::optional<std::vector<std::string_view>> GgufValue::as_strings() const {
  if (!is_array_ || type_ != GgufValueType::kString) return std::nullopt;
  std::vector<std::string_view> values;
  values.reserve(size_);
  for (auto rest = bytes_; !rest.empty();) {
    const auto length = load<uint64_t>(rest, 0);
    values.push_back(as_text(rest.subspan(sizeof length, length)));
    rest = rest.subspan(sizeof length + length);
  }
  return values;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto it =
      std::lower_bound(values.begin(), values.end(), key,
                       [](const GgufKeyValue& v, std::string_view k) { return v.key < k; });
  return it != values.end() && it->key == key ? &it->value : nullptr;
}

bool GgufValue::operator==(const GgufValue& other) const {
  return type_ == other.type_ && is_array_ == other.is_array_ && size_ == other.size_ &&
         std::ranges::equal(bytes_, other.bytes_);
}

}  // namespace longhaul
