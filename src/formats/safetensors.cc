#include "formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/json.h"
#include "base/printable.h"

namespace longhaul {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the official reader's limit
constexpr size_t kMaxRank = 16;                    // ours: the format has none

struct Entry {
  std::string name;
  std::optional<DType> dtype;
  std::optional<std::vector<int64_t>> shape;
  std::optional<std::vector<int64_t>> data_offsets;  // two once parsed, from the end of the header
  uint64_t begin() const { return static_cast<uint64_t>((*data_offsets)[0]); }
  uint64_t end() const { return static_cast<uint64_t>((*data_offsets)[1]); }
};

// Follows the header's events. Every key is either known or refused; each entry is complete when
// its object closes.
class HeaderHandler : public JsonHandler {
 public:
  explicit HeaderHandler(std::string_view where) : where_(where) {}

  std::vector<Entry> entries;
  std::vector<std::pair<std::string, std::string>> metadata;

  bool on_begin_object() override {
    switch (place_) {
      case Place::kStart: place_ = Place::kTop; return true;
      case Place::kTop: return begin_member();
      case Place::kMetadata: return refuse_value("an object", "a string");
      default: return refuse_value("an object", expected_here());
    }
  }

  bool on_key(std::string& key) override {
    key_ = std::move(key);
    switch (place_) {
      case Place::kTop:
        if (names_.insert(key_).second) return true;
        return refuse(
            corrupt("{}: tensor '{}' stands twice in the header", where_, printable(key_)));
      case Place::kMetadata:
        if (metadata_keys_.insert(key_).second) return true;
        return refuse(
            corrupt("{}: key '{}' stands twice in __metadata__", where_, printable(key_)));
      default: return check_field();
    }
  }

  bool on_end_object() override {
    if (place_ == Place::kTensor) {
      const Entry& entry = entries.back();
      const char* missing = !entry.dtype          ? "dtype"
                            : !entry.shape        ? "shape"
                            : !entry.data_offsets ? "data_offsets"
                                                  : nullptr;
      if (missing != nullptr) return refuse(corrupt("{}: no field '{}'", tensor_where(), missing));
    }
    place_ = place_ == Place::kTop ? Place::kStart : Place::kTop;
    return true;
  }

  bool on_begin_array() override {
    if (place_ != Place::kTensor || key_ == "dtype")
      return refuse_value("an array", expected_here());
    numbers_ =
        key_ == "shape" ? &entries.back().shape.emplace() : &entries.back().data_offsets.emplace();
    place_ = Place::kNumbers;
    return true;
  }

  bool on_end_array() override {
    place_ = Place::kTensor;
    if (key_ == "data_offsets" && numbers_->size() != 2) {
      return refuse(
          corrupt("{}: data_offsets has {} numbers, expected 2", tensor_where(), numbers_->size()));
    }
    return true;
  }

  bool on_scalar(Json value) override {
    const std::string* text = value.as_string();
    switch (place_) {
      case Place::kMetadata:
        if (text == nullptr) return refuse_value(value.type_name(), "a string");
        metadata.emplace_back(std::move(key_), *text);
        return true;
      case Place::kTensor:
        if (key_ != "dtype" || text == nullptr)
          return refuse_value(value.type_name(), expected_here());
        return set_dtype(*text);
      case Place::kNumbers: return add_number(value);
      default: return refuse_value(value.type_name(), expected_here());
    }
  }

  Error stop_reason() const override { return error_; }

 private:
  enum class Place { kStart, kTop, kMetadata, kTensor, kNumbers };

  bool begin_member() {
    if (key_ == "__metadata__") {
      place_ = Place::kMetadata;
      return true;
    }
    place_ = Place::kTensor;
    entries.push_back({.name = key_});
    return true;
  }

  bool check_field() {
    const Entry& entry = entries.back();
    const bool is_known = key_ == "dtype" || key_ == "shape" || key_ == "data_offsets";
    if (!is_known)
      return refuse(corrupt("{}: unknown field '{}'", tensor_where(), printable(key_)));
    const bool is_set = key_ == "dtype"   ? entry.dtype.has_value()
                        : key_ == "shape" ? entry.shape.has_value()
                                          : entry.data_offsets.has_value();
    if (is_set) return refuse(corrupt("{}: field '{}' stands twice", tensor_where(), key_));
    return true;
  }

  bool set_dtype(const std::string& text) {
    entries.back().dtype = dtype_from_safetensors(text);
    if (entries.back().dtype) return true;
    return refuse(unsupported("{}: dtype '{}' is not known", tensor_where(), printable(text)));
  }

  bool add_number(const Json& value) {
    if (value.as_int() == nullptr || *value.as_int() < 0) {
      const std::string found = value.is_number() ? value.dump() : value.type_name();
      return refuse(corrupt("{}: {} holds {}, expected an integer from 0 to 2^63 - 1",
                            tensor_where(), key_, found));
    }
    if (numbers_->size() == kMaxRank) {
      return refuse(unsupported("{}: {} has more than {} numbers", tensor_where(), key_, kMaxRank));
    }
    numbers_->push_back(*value.as_int());
    return true;
  }

  const char* expected_here() const {
    if (place_ == Place::kStart) return "an object of tensors";
    if (place_ == Place::kTop) return "an object";
    if (place_ == Place::kNumbers) return "integers";
    return key_ == "dtype" ? "a string" : "an array of integers";
  }

  bool refuse_value(std::string_view found, std::string_view expected) {
    if (place_ == Place::kStart)
      return refuse(corrupt("{}: the header is {}, expected {}", where_, found, expected));
    const std::string at = place_ == Place::kTensor || place_ == Place::kNumbers
                               ? tensor_where()
                               : std::string(where_);
    return refuse(corrupt("{}: '{}' is {}, expected {}", at, printable(key_), found, expected));
  }

  bool refuse(Error error) {
    error_ = std::move(error);
    return false;
  }

  std::string tensor_where() const {
    return fmt::format("{}: tensor '{}'", where_, printable(entries.back().name));
  }

  std::string_view where_;
  Place place_ = Place::kStart;
  std::string key_;
  std::vector<int64_t>* numbers_ = nullptr;
  std::unordered_set<std::string> names_, metadata_keys_;
  Error error_;
};

// The header's length and text, checked against the file's size.
Result<std::string_view> header_text(std::span<const std::byte> file, std::string_view where) {
  if (file.size() < kLengthBytes)
    return corrupt(
        "{}: {} bytes, too short for a safetensors file; incomplete download? fetch it again",
        where, file.size());
  uint64_t length = 0;
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) {
    return corrupt(
        "{}: header length {}, expected at most {}; not a safetensors file? download or convert it "
        "again",
        where, length, kMaxHeaderBytes);
  }
  const bool starts_as_object =
      length > 0 && (file.size() == kLengthBytes || file[kLengthBytes] == std::byte{'{'});
  if (!starts_as_object)
    return corrupt(
        "{}: header does not start with '{{'; not a safetensors file? download or convert it again",
        where);
  if (length > file.size() - kLengthBytes) {
    return corrupt("{}: header ends at byte {}, file has {}; incomplete download? fetch it again",
                   where, kLengthBytes + length, file.size());
  }
  return std::string_view(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
}

// Requires the entries, sorted by offset, to cover the data exactly: no overlap, no hole, nothing
// behind the last.
Status check_coverage(const std::vector<Entry>& entries, uint64_t data_at, uint64_t file_bytes,
                      std::string_view where) {
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    const std::string at = fmt::format("{}: tensor '{}'", where, printable(entry.name));
    if (entry.begin() > entry.end()) {
      return corrupt("{}: data_offsets [{}, {}] run backwards", at, entry.begin(), entry.end());
    }
    LH_TRY(const uint64_t expected, checked_nbytes(*entry.dtype, *entry.shape, at));
    const uint64_t found = entry.end() - entry.begin();
    if (found != expected) {
      return corrupt("{}: {} of {} needs {} bytes, data_offsets give {}", at,
                     shape_text(*entry.shape), to_string(*entry.dtype), expected, found);
    }
    if (entry.begin() < covered) {
      return corrupt(
          "{} starts at byte {} of the data, inside the tensor before it, which ends at {}", at,
          entry.begin(), covered);
    }
    if (entry.begin() > covered) {
      return corrupt("{} starts at byte {} of the data, which leaves a hole from {}", at,
                     entry.begin(), covered);
    }
    covered = entry.end();
    if (covered > file_bytes - data_at) {
      return corrupt("{} ends at byte {}, file has {}; incomplete download? fetch it again", at,
                     data_at + covered, file_bytes);
    }
  }
  if (covered != file_bytes - data_at) {
    return corrupt("{}: {} bytes behind the last tensor, which ends at byte {}", where,
                   file_bytes - data_at - covered, data_at + covered);
  }
  return {};
}

Result<SafetensorsHeader> parse(std::span<const std::byte> file_bytes, std::string_view where) {
  LH_TRY(const std::string_view text, header_text(file_bytes, where));
  HeaderHandler handler(where);
  LH_RETURN_IF_ERROR(parse_json_events(text, where, handler));

  std::vector<Entry>& entries = handler.entries;
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return *a.data_offsets < *b.data_offsets;
  });
  const uint64_t data_at = kLengthBytes + text.size();
  LH_RETURN_IF_ERROR(check_coverage(entries, data_at, file_bytes.size(), where));

  SafetensorsHeader header;
  header.metadata = std::move(handler.metadata);
  for (Entry& entry : entries) {
    header.tensors.push_back(
        {.name = std::move(entry.name),
         .dtype = *entry.dtype,
         .shape = std::move(*entry.shape),
         .bytes = file_bytes.subspan(data_at + entry.begin(), entry.end() - entry.begin())});
  }
  return header;
}

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file_bytes,
                                                   std::string_view where) {
  return or_remedy(parse(file_bytes, where), "download or convert the file again");
}

}  // namespace longhaul
