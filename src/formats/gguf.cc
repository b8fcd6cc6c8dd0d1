#include "formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked_math.h"
#include "base/printable.h"
#include "base/utf8.h"

namespace longhaul {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr int64_t kMaxValues = 100'000, kMaxTensors = 1'000'000;
constexpr uint64_t kMaxKeyBytes = 65'535, kMaxNameBytes = 255;
constexpr uint64_t kLengthBytes = 8;
// The least that one takes: name with its length, then type and value; rank, dim, type and offset.
constexpr uint64_t kMinValueBytes = kLengthBytes + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = kLengthBytes + 1 + 4 + 8 + 4 + 8;
constexpr uint32_t kArray = 9;
constexpr uint64_t kDefaultAlignment = 32, kMaxAlignment = 65'536;
constexpr int64_t kQuantisationVersion = 2;  // of the blocks' layouts

// Walks a header. Nothing is read or allocated before the file is known to hold it.
class Cursor {
 public:
  Cursor(std::span<const std::byte> file, std::string_view where) : file_(file), where_(where) {}

  // What is read from here on, for messages: a key or a tensor, by number until it has a name.
  void enter(const char* kind, uint64_t number) {
    kind_ = kind;
    number_ = number;
    name_ = {};
  }
  std::string here() const {
    if (kind_ == nullptr) return std::string(where_);
    if (name_.empty()) return fmt::format("{}: {} number {}", where_, kind_, number_);
    return fmt::format("{}: {} '{}'", where_, kind_, printable(name_));
  }

  uint64_t position() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }
  std::span<const std::byte> since(uint64_t position) const {
    return file_.subspan(position, at_ - position);
  }

  Result<std::span<const std::byte>> take(uint64_t n, const char* what) {
    if (n > left()) {
      return corrupt(
          "{}: {} at byte {} takes {} bytes, but the file ends after {}; incomplete download? "
          "fetch it again",
          here(), what, at_, n, left());
    }
    at_ += n;
    return since(at_ - n);
  }

  template <class T>
  Result<T> number(const char* what) {
    static_assert(std::endian::native == std::endian::little);
    LH_TRY(const auto bytes, take(sizeof(T), what));
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  Result<std::string_view> string(const char* what) {
    LH_TRY(const auto length, number<uint64_t>("a length"));
    LH_TRY(const auto bytes, take(length, what));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (const auto bad = find_invalid_utf8(text))
      return corrupt("{}: {} is not UTF-8 at byte {}", here(), what, at_ - length + *bad);
    return text;
  }

  // The name of what was entered. A NUL would end it for other readers.
  Result<std::string_view> name(uint64_t max_bytes) {
    LH_TRY(const std::string_view text, string("the name"));
    if (text.empty() || text.size() > max_bytes) {
      return corrupt("{}: a name of {} bytes, expected 1 to {}", here(), text.size(), max_bytes);
    }
    if (text.find('\0') != text.npos)
      return corrupt("{}: NUL byte in the name '{}'", here(), printable(text));
    name_ = text;
    return text;
  }

 private:
  std::span<const std::byte> file_;
  std::string_view where_;
  uint64_t at_ = 0;
  const char* kind_ = nullptr;
  uint64_t number_ = 0;
  std::string_view name_;
};

Status check_magic(std::span<const std::byte> file, std::string_view where) {
  const std::string_view start(reinterpret_cast<const char*>(file.data()),
                               std::min(file.size(), kMagic.size()));
  if (start == kMagic) return {};
  return corrupt("{}: begins with '{}', expected '{}'; not a GGUF file? download it again", where,
                 printable(start), kMagic);
}

Result<uint32_t> read_version(Cursor& cursor) {
  LH_TRY(const auto version, cursor.number<uint32_t>("the version"));
  if (version == 2 || version == 3) return version;
  if (version != 0 && (version & 0xffff) == 0) {
    return unsupported("{}: a big-endian file, made for other machines; get the little-endian one",
                       cursor.here());
  }
  return unsupported("{}: GGUF version {}, expected 2 or 3; {}", cursor.here(), version,
                     version < 2 ? "get a newer file" : "get one of an older version");
}

Result<uint64_t> read_count(Cursor& cursor, const char* of, int64_t max) {
  LH_TRY(const auto n, cursor.number<int64_t>("a count"));
  if (n < 0 || n > max) return corrupt("{}: {} {}, expected 0 to {}", cursor.here(), n, of, max);
  return static_cast<uint64_t>(n);
}

// Both counts stand before what they count: each is checked when its turn comes.
Status check_count_fits(const Cursor& cursor, uint64_t n, const char* of, uint64_t min_bytes,
                        std::string_view where) {
  if (n * min_bytes <= cursor.left()) return {};
  return corrupt(
      "{}: {} {} take at least {} bytes, but the file ends after {}; incomplete download? fetch it "
      "again",
      where, n, of, n * min_bytes, cursor.left());
}

Result<GgufValueType> value_type_of(uint32_t number, const Cursor& cursor) {
  if (number == kArray) return unsupported("{}: arrays of arrays are not read", cursor.here());
  if (number <= static_cast<uint32_t>(GgufValueType::kF64))
    return static_cast<GgufValueType>(number);
  return corrupt("{}: a value of type {}, expected 0 to 12", cursor.here(), number);
}

Error values_cut(const Cursor& cursor, uint64_t n, GgufValueType type) {
  return corrupt(
      "{}: {} values of type {} at byte {}, but the file ends after {} bytes; incomplete download? "
      "fetch it again",
      cursor.here(), n, to_string(type), cursor.position(), cursor.left());
}

Result<std::span<const std::byte>> read_numbers(Cursor& cursor, uint64_t n, GgufValueType type) {
  const auto n_bytes = checked_mul(n, bytes_per_value(type));
  if (!n_bytes || *n_bytes > cursor.left()) return values_cut(cursor, n, type);
  LH_TRY(const auto bytes, cursor.take(*n_bytes, "the value"));
  const auto is_bool = [](std::byte b) { return std::to_integer<int>(b) <= 1; };
  if (type == GgufValueType::kBool && !std::all_of(bytes.begin(), bytes.end(), is_bool))
    return corrupt("{}: a bool that is neither 0 nor 1", cursor.here());
  return bytes;
}

// Strings are walked here to check them; GgufValue walks them again where they stand.
Result<std::span<const std::byte>> read_strings(Cursor& cursor, uint64_t n) {
  if (n > cursor.left() / kLengthBytes) return values_cut(cursor, n, GgufValueType::kString);
  const uint64_t begin = cursor.position();
  for (uint64_t i = 0; i < n; ++i) LH_RETURN_IF_ERROR(cursor.string("a string of the array"));
  return cursor.since(begin);
}

Result<GgufValue> read_array(Cursor& cursor) {
  LH_TRY(const auto number, cursor.number<uint32_t>("the type of an array"));
  LH_TRY(const GgufValueType type, value_type_of(number, cursor));
  LH_TRY(const auto n, cursor.number<uint64_t>("the length of an array"));
  LH_TRY(const auto elements,
         type == GgufValueType::kString ? read_strings(cursor, n) : read_numbers(cursor, n, type));
  return GgufValue::array(type, n, elements);
}

Result<GgufValue> read_value(Cursor& cursor) {
  LH_TRY(const auto number, cursor.number<uint32_t>("the type"));
  if (number == kArray) return read_array(cursor);
  LH_TRY(const GgufValueType type, value_type_of(number, cursor));
  if (type != GgufValueType::kString) {
    LH_TRY(const auto bytes, read_numbers(cursor, 1, type));
    return GgufValue::scalar(type, bytes);
  }
  LH_TRY(const std::string_view text, cursor.string("the value"));
  return GgufValue::scalar(type, std::as_bytes(std::span(text)));
}

Result<std::vector<GgufKeyValue>> read_values(Cursor& cursor, uint64_t n, std::string_view where) {
  LH_RETURN_IF_ERROR(check_count_fits(cursor, n, "keys", kMinValueBytes, where));
  std::vector<GgufKeyValue> values;
  values.reserve(n);
  for (uint64_t i = 0; i < n; ++i) {
    cursor.enter("key", i);
    LH_TRY(const std::string_view key, cursor.name(kMaxKeyBytes));
    LH_TRY(const GgufValue value, read_value(cursor));
    values.push_back({key, value});
  }
  std::sort(values.begin(), values.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
  const auto twice = std::adjacent_find(
      values.begin(), values.end(), [](const auto& a, const auto& b) { return a.key == b.key; });
  if (twice != values.end())
    return corrupt("{}: key '{}' stands twice", where, printable(twice->key));
  return values;
}

Result<uint64_t> alignment_of(const GgufHeader& header, std::string_view where) {
  const GgufValue* value = header.metadata.find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  if (value->is_array() || value->type() != GgufValueType::kU32) {
    return corrupt("{}: general.alignment is {}, expected u32", where, value->type_name());
  }
  const auto alignment = static_cast<uint64_t>(*value->as_int());
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    return corrupt("{}: general.alignment is {}, expected a power of two of at most {}", where,
                   alignment, kMaxAlignment);
  }
  return alignment;
}

// A tensor as its description says, its bytes not looked up yet.
struct Entry {
  GgufTensor tensor;
  uint64_t offset = 0, n_bytes = 0;  // in the data
};

Status read_shape(Cursor& cursor, GgufTensor& tensor) {
  LH_TRY(tensor.rank, cursor.number<uint32_t>("the rank"));
  if (tensor.rank < 1 || tensor.rank > kGgufMaxRank) {
    return corrupt("{}: {} dimensions, expected 1 to {}", cursor.here(), tensor.rank, kGgufMaxRank);
  }
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    LH_TRY(tensor.extents[tensor.rank - 1 - i], cursor.number<int64_t>("a dimension"));
  }
  return {};
}

Result<Entry> read_tensor(Cursor& cursor) {
  Entry entry;
  LH_TRY(entry.tensor.name, cursor.name(kMaxNameBytes));
  LH_RETURN_IF_ERROR(read_shape(cursor, entry.tensor));
  const std::string where = cursor.here();
  LH_TRY(const auto number, cursor.number<uint32_t>("the type"));
  LH_TRY(entry.tensor.type, gguf_type_of(number, where));
  LH_TRY(entry.n_bytes, checked_nbytes(entry.tensor.type, entry.tensor.shape(), where));
  LH_TRY(entry.offset, cursor.number<uint64_t>("the offset"));
  return entry;
}

Result<std::vector<Entry>> read_tensors(Cursor& cursor, uint64_t n, std::string_view where) {
  LH_RETURN_IF_ERROR(check_count_fits(cursor, n, "tensors", kMinTensorBytes, where));
  std::vector<Entry> entries;
  std::vector<std::string_view> names;
  entries.reserve(n);
  names.reserve(n);
  for (uint64_t i = 0; i < n; ++i) {
    cursor.enter("tensor", i);
    LH_TRY(Entry entry, read_tensor(cursor));
    names.push_back(entry.tensor.name);
    entries.push_back(entry);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    return corrupt("{}: tensor '{}' stands twice", where, printable(*twice));
  return entries;
}

// Gives the tensors, which are sorted by offset, their bytes. They must follow each other, each at
// a multiple of the alignment, with less than one alignment of padding before it and behind the
// last.
Status place_tensors(std::span<Entry> entries, std::span<const std::byte> file,
                     uint64_t header_bytes, uint64_t alignment, std::string_view where) {
  const uint64_t data_at = header_bytes + (-header_bytes & (alignment - 1));
  uint64_t covered = header_bytes;
  const char* before = "the header";
  for (Entry& entry : entries) {
    const auto at = [&] {
      return fmt::format("{}: tensor '{}'", where, printable(entry.tensor.name));
    };
    if (entry.offset % alignment != 0) {
      return corrupt("{} starts at byte {} of the data, expected a multiple of {}", at(),
                     entry.offset, alignment);
    }
    const auto begin = checked_add(data_at, entry.offset);
    const auto end = begin ? checked_add(*begin, entry.n_bytes) : std::nullopt;
    if (!end || *end > file.size()) {
      return corrupt(
          "{} takes {} bytes from byte {} + {}, file has {}; incomplete download? fetch it again",
          at(), entry.n_bytes, data_at, entry.offset, file.size());
    }
    if (*begin < covered) {
      return corrupt("{} starts at byte {}, inside the tensor before it, which ends at {}", at(),
                     *begin, covered);
    }
    if (*begin - covered >= alignment) {
      return corrupt("{} starts at byte {}, which leaves a hole behind {}, which ends at {}", at(),
                     *begin, before, covered);
    }
    entry.tensor.bytes = file.subspan(*begin, entry.n_bytes);
    covered = *end;
    before = "the tensor before it";
  }
  if (file.size() - covered < alignment) return {};
  return corrupt("{}: {} bytes behind {}, which ends at byte {}", where, file.size() - covered,
                 entries.empty() ? before : "the last tensor", covered);
}

// The layouts of blocks that are older than this were given up before the types read here.
Status check_quantisation_version(const GgufHeader& header, std::string_view where) {
  const GgufValue* value = header.metadata.find("general.quantization_version");
  const bool is_asked =
      std::any_of(header.tensors.begin(), header.tensors.end(),
                  [](const GgufTensor& tensor) { return info_of(tensor.type).is_quantised(); });
  if (value == nullptr || !is_asked) return {};
  if (!value->as_int()) {
    return corrupt("{}: general.quantization_version is {}, expected an integer", where,
                   value->type_name());
  }
  if (*value->as_int() == kQuantisationVersion) return {};
  return unsupported("{}: general.quantization_version is {}, expected {}; get a newer file", where,
                     *value->as_int(), kQuantisationVersion);
}

Result<GgufHeader> parse(std::span<const std::byte> file, std::string_view where) {
  LH_RETURN_IF_ERROR(check_magic(file, where));
  Cursor cursor(file, where);
  LH_RETURN_IF_ERROR(cursor.take(kMagic.size(), "the magic"));
  GgufHeader header;
  LH_TRY(header.version, read_version(cursor));
  LH_TRY(const uint64_t n_tensors, read_count(cursor, "tensors", kMaxTensors));
  LH_TRY(const uint64_t n_values, read_count(cursor, "keys", kMaxValues));
  LH_TRY(header.metadata.values, read_values(cursor, n_values, where));
  LH_TRY(header.alignment, alignment_of(header, where));
  LH_TRY(std::vector<Entry> entries, read_tensors(cursor, n_tensors, where));
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
  LH_RETURN_IF_ERROR(place_tensors(entries, file, cursor.position(), header.alignment, where));
  header.tensors.reserve(entries.size());
  for (const Entry& entry : entries) header.tensors.push_back(entry.tensor);
  LH_RETURN_IF_ERROR(check_quantisation_version(header, where));
  return header;
}

}  // namespace

Result<GgufHeader> parse_gguf_header(std::span<const std::byte> file_bytes,
                                     std::string_view where) {
  return or_remedy(parse(file_bytes, where), "download or convert the file again");
}

}  // namespace longhaul
