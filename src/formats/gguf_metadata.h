// The metadata of a GGUF file: keys with typed values, read in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul {

// Numbered as in files. 9 stands for an array there, of one of these.
enum class GgufValueType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// A value or an array of values, in place: valid as long as the bytes that it was parsed from.
//
// Getters give nothing where the value is something else. Converters disagree about widths, so an
// integer is read from any integer type if it fits, a float from f32 and f64, a bool from an
// integer that is 0 or 1 too; never an integer from a float or the other way round.
class GgufValue {
 public:
  // `bytes` is a string's text, a number's bytes, or an array's elements as they stand in the file:
  // checked already.
  static GgufValue scalar(GgufValueType type, std::span<const std::byte> bytes) {
    return {type, false, 1, bytes};
  }
  static GgufValue array(GgufValueType type, uint64_t size, std::span<const std::byte> bytes) {
    return {type, true, size, bytes};
  }

  GgufValueType type() const { return type_; }  // an array's: of its elements
  bool is_array() const { return is_array_; }
  uint64_t size() const { return size_; }  // elements of an array, else 1
  std::string type_name() const;           // for messages: "u32", "array of string"

  std::optional<int64_t> as_int() const;
  std::optional<double> as_float() const;
  std::optional<bool> as_bool() const;
  std::optional<std::string_view> as_string() const;

  // Of arrays alone: nothing where they are of another kind or an element does not fit. One
  // allocation each.
  std::optional<std::vector<int64_t>> as_ints() const;
  std::optional<std::vector<double>> as_floats() const;
  std::optional<std::vector<bool>> as_bools() const;
  std::optional<std::vector<std::string_view>> as_strings() const;

  bool operator==(const GgufValue& other) const;  // of the same type too

 private:
  GgufValue(GgufValueType type, bool is_array, uint64_t size, std::span<const std::byte> bytes)
      : type_(type), is_array_(is_array), size_(size), bytes_(bytes) {}
  std::optional<int64_t> int_at(uint64_t i) const;
  std::optional<double> float_at(uint64_t i) const;
  std::optional<bool> bool_at(uint64_t i) const;

  GgufValueType type_;
  bool is_array_;
  uint64_t size_;
  std::span<const std::byte> bytes_;
};

struct GgufKeyValue {
  std::string_view key;
  GgufValue value;
};

struct GgufMetadata {
  std::vector<GgufKeyValue> values;  // by key, each once

  const GgufValue* find(std::string_view key) const;  // null where there is none
};

const char* to_string(GgufValueType type);     // "u32"
uint64_t bytes_per_value(GgufValueType type);  // of a number or a bool; 0 for a string

}  // namespace longhaul
