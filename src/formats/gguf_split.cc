// Opening GGUF files. The parts of a split one are gathered by their names alone: nothing that a
// file holds says what else is opened.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <optional>

#include "base/printable.h"
#include "formats/gguf.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxParts = 1000;

// Numbered from 1: NAME-00002-of-00003.gguf.
struct PartName {
  std::string stem;
  int64_t number = 0, total = 0;
};

std::string file_name(std::string_view stem, int64_t number, int64_t total) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, number, total);
}

std::optional<PartName> parse_part_name(std::string_view file) {
  constexpr std::string_view kNumbers = "-00000-of-00000.gguf";
  if (file.size() <= kNumbers.size()) return std::nullopt;
  PartName name{.stem = std::string(file.substr(0, file.size() - kNumbers.size()))};
  const char* numbers = file.data() + name.stem.size();
  std::from_chars(numbers + 1, numbers + 6, name.number);
  std::from_chars(numbers + 10, numbers + 15, name.total);
  const bool is_one = name.number >= 1 && name.number <= name.total &&
                      file == file_name(name.stem, name.number, name.total);
  return is_one ? std::optional(name) : std::nullopt;
}

// What a part says of itself; numbers from 0, as there.
struct SplitKeys {
  int64_t no = 0, count = 0, n_tensors = 0;  // tensors of all parts
};

// Nothing where the file is no part of another.
Result<std::optional<SplitKeys>> read_split_keys(const GgufPart& part) {
  SplitKeys keys;
  const std::pair<const char*, int64_t*> fields[] = {{"split.no", &keys.no},
                                                     {"split.count", &keys.count},
                                                     {"split.tensors.count", &keys.n_tensors}};
  const auto is_missing = [&](const auto& field) {
    return part.header.metadata.find(field.first) == nullptr;
  };
  if (std::all_of(std::begin(fields), std::end(fields), is_missing))
    return std::optional<SplitKeys>();
  for (const auto& [key, number] : fields) {
    const GgufValue* value = part.header.metadata.find(key);
    if (value == nullptr || !value->as_int()) {
      return corrupt("{}: {} is {}, expected an integer; download or split the file again",
                     part.file.path(), key, value == nullptr ? "missing" : value->type_name());
    }
    *number = *value->as_int();
  }
  if (keys.count < 1 || keys.count > kMaxParts || keys.no < 0 || keys.no >= keys.count) {
    return corrupt(
        "{}: split.no is {} and split.count {}, expected a part of 1 to {}, counted from 0; "
        "download or split the file again",
        part.file.path(), keys.no, keys.count, kMaxParts);
  }
  return std::optional(keys);
}

Result<GgufPart> open_part(const std::string& path) {
  LH_TRY(MappedFile file, MappedFile::open(path));
  LH_TRY(GgufHeader header, parse_gguf_header(file.bytes(), path));
  return GgufPart{std::move(file), std::move(header)};
}

// A part of a split file is found by its name, so the name must be that of its place.
Result<PartName> check_name(const GgufPart& part, const SplitKeys& keys) {
  const std::string file = fs::path(part.file.path()).filename().string();
  const auto name = parse_part_name(file);
  if (name && name->number == keys.no + 1 && name->total == keys.count) return *name;
  return corrupt("{}: holds part {} of {}, and is not named so; name it {}", part.file.path(),
                 keys.no + 1, keys.count,
                 file_name(name ? printable(name->stem) : "NAME", keys.no + 1, keys.count));
}

Status check_all_there(const fs::path& folder, const PartName& name) {
  std::vector<std::string> missing;
  for (int64_t number = 1; number <= name.total; ++number) {
    std::error_code ignored;
    const std::string file = file_name(name.stem, number, name.total);
    if (!fs::exists(folder / file, ignored)) missing.push_back(printable(file));
  }
  if (missing.empty()) return {};
  constexpr size_t kShown = 5;
  const size_t n_missing = missing.size();
  missing.resize(std::min(n_missing, kShown));
  return make_error(ErrorCode::kNotFound,
                    "{}: {} of {} parts are missing: {}{}; incomplete download? fetch the rest",
                    folder.empty() ? "." : folder.string(), n_missing, name.total,
                    fmt::join(missing, ", "), n_missing > kShown ? " and others" : "");
}

// The first part has the metadata. What another repeats of it must be the same; how a file is split
// and aligned is its own matter.
Status check_same_metadata(const GgufPart& first, const GgufPart& other) {
  for (const GgufKeyValue& entry : other.header.metadata.values) {
    if (entry.key.starts_with("split.") || entry.key == "general.alignment") continue;
    const GgufValue* value = first.header.metadata.find(entry.key);
    if (value != nullptr && *value == entry.value) continue;
    return corrupt(
        "{}: key '{}' is not that of {}: parts of different models; download all parts again",
        other.file.path(), printable(entry.key), first.file.path());
  }
  return {};
}

Status check_belongs(const GgufPart& part, int64_t no, const SplitKeys& to) {
  LH_TRY(const auto keys, read_split_keys(part));
  if (keys && keys->no == no && keys->count == to.count && keys->n_tensors == to.n_tensors)
    return {};
  if (!keys)
    return corrupt("{}: no key split.no, so it is no part of a split file; download it again",
                   part.file.path());
  return corrupt(
      "{}: part {} of {} with {} tensors in all, expected part {} of {} with {}: parts of "
      "different files; download all parts again",
      part.file.path(), keys->no + 1, keys->count, keys->n_tensors, no + 1, to.count, to.n_tensors);
}

Status check_n_tensors(std::span<const GgufPart> parts, const SplitKeys& keys) {
  const auto add = [](uint64_t n, const GgufPart& p) { return n + p.header.tensors.size(); };
  const uint64_t n_tensors = std::accumulate(parts.begin(), parts.end(), uint64_t{0}, add);
  if (std::cmp_equal(n_tensors, keys.n_tensors)) return {};
  return corrupt(
      "{}: {} tensors in all parts, expected split.tensors.count {}; download all parts again",
      parts.front().file.path(), n_tensors, keys.n_tensors);
}

// All parts in their order; `named` is the one that was asked for.
Result<std::vector<GgufPart>> gather(GgufPart named, const SplitKeys& keys) {
  std::vector<GgufPart> parts;
  if (keys.count == 1) {
    parts.push_back(std::move(named));
  } else {
    LH_TRY(const PartName name, check_name(named, keys));
    const fs::path folder = fs::path(named.file.path()).parent_path();
    LH_RETURN_IF_ERROR(check_all_there(folder, name));
    for (int64_t no = 0; no < keys.count; ++no) {
      if (no == keys.no) {
        parts.push_back(std::move(named));
        continue;
      }
      const fs::path path = folder / file_name(name.stem, no + 1, name.total);
      LH_TRY(GgufPart part, open_part(path.string()));
      LH_RETURN_IF_ERROR(check_belongs(part, no, keys));
      parts.push_back(std::move(part));
    }
    for (const GgufPart& part : parts) LH_RETURN_IF_ERROR(check_same_metadata(parts.front(), part));
  }
  LH_RETURN_IF_ERROR(check_n_tensors(parts, keys));
  return parts;
}

// Cut with a tool that leaves no keys, or renamed.
Status check_is_whole(const GgufPart& part) {
  const auto name = parse_part_name(fs::path(part.file.path()).filename().string());
  if (!name || name->total == 1) return {};
  return corrupt(
      "{}: named as part {} of {}, but has no key split.no; download the parts again, or rename "
      "the file if it is whole",
      part.file.path(), name->number, name->total);
}

}  // namespace

Result<GgufSource> GgufSource::of(std::vector<GgufPart> parts) {
  GgufSource source;
  for (GgufPart& part : parts) {
    source.files_.push_back(std::make_unique<MappedFile>(std::move(part.file)));
    for (GgufTensor& tensor : part.header.tensors) {
      tensor.file = source.files_.back().get();
      source.tensors_.push_back(tensor);
    }
  }
  source.metadata_ = std::move(parts.front().header.metadata);
  source.sort_names();
  const auto name_of = [&](uint32_t i) { return source.tensors_[i].name; };
  const auto twice =
      std::adjacent_find(source.by_name_.begin(), source.by_name_.end(),
                         [&](uint32_t a, uint32_t b) { return name_of(a) == name_of(b); });
  if (twice == source.by_name_.end()) return source;
  return corrupt("{}: tensor '{}' is in {} too; download all parts again",
                 source.tensors_[twice[1]].file->path(), printable(name_of(*twice)),
                 source.tensors_[*twice].file->path());
}

GgufSource GgufSource::of(GgufHeader header) {
  GgufSource source;
  source.metadata_ = std::move(header.metadata);
  source.tensors_ = std::move(header.tensors);
  source.sort_names();
  return source;
}

void GgufSource::sort_names() {
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::stable_sort(by_name_.begin(), by_name_.end(),
                   [&](uint32_t a, uint32_t b) { return tensors_[a].name < tensors_[b].name; });
}

const GgufTensor* GgufSource::find(std::string_view name) const {
  const auto it =
      std::lower_bound(by_name_.begin(), by_name_.end(), name,
                       [&](uint32_t i, std::string_view n) { return tensors_[i].name < n; });
  return it != by_name_.end() && tensors_[*it].name == name ? &tensors_[*it] : nullptr;
}

std::vector<MappedFile> GgufSource::take_files() && {
  std::vector<MappedFile> files;
  for (const auto& file : files_) files.push_back(std::move(*file));
  return files;
}

std::optional<std::string> first_gguf_part(std::string_view name) {
  const auto part = parse_part_name(name);
  return part ? std::optional(file_name(part->stem, 1, part->total)) : std::nullopt;
}

Result<GgufSource> open_gguf(const std::string& path) {
  LH_TRY(GgufPart named, open_part(path));
  LH_TRY(const auto keys, read_split_keys(named));
  std::vector<GgufPart> parts;
  if (keys) {
    LH_TRY(parts, gather(std::move(named), *keys));
  } else {
    LH_RETURN_IF_ERROR(check_is_whole(named));
    parts.push_back(std::move(named));
  }
  return GgufSource::of(std::move(parts));
}

}  // namespace longhaul
