// Opening checkpoints: one file, or the shards an index names.

#include <filesystem>
#include <unordered_set>

#include "base/printable.h"
#include "formats/safetensors.h"
#include "formats/safetensors_index.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxIndexBytes = 100'000'000;

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

bool is_in(const fs::path& file, const fs::path& folder) { return file.parent_path() == folder; }

// A shard may be a symbolic link only within its folder or, in a Hugging Face cache, where every file of
// snapshots/<commit> is a link, into the blobs beside it.
Status check_stays_in_folder(const fs::path& shard, const fs::path& folder) {
  std::error_code failed;
  const fs::path target = fs::canonical(shard, failed);
  const fs::path home = fs::canonical(folder, failed);
  if (failed) return make_error(ErrorCode::kIo, "{}: cannot resolve: {}", shard.string(), failed.message());
  const bool in_cache = home.parent_path().filename() == "snapshots";
  if (is_in(target, home) || (in_cache && is_in(target, home.parent_path().parent_path() / "blobs"))) return {};
  return corrupt("{}: links to {}, outside the checkpoint's folder", shard.string(), target.string());
}

Status check_all_shards_exist(const fs::path& folder, const ShardMap& shards) {
  std::string missing;
  for (const auto& [file, tensors] : shards) {
    std::error_code ignored;
    if (fs::exists(folder / file, ignored)) continue;
    missing += fmt::format("{}{} ({} tensors)", missing.empty() ? "" : ", ", file, tensors.size());
  }
  if (missing.empty()) return {};
  return make_error(ErrorCode::kNotFound, "{}: shards named by {} are missing: {}; incomplete download?", folder.string(),
                    kSafetensorsIndex, missing);
}

// The shard must hold the tensors the index gives it and no others.
Status check_against_index(const SafetensorsHeader& header, const std::vector<std::string>& indexed, const std::string& path) {
  std::unordered_set<std::string_view> expected(indexed.begin(), indexed.end());
  for (const TensorInfo& tensor : header.tensors) {
    if (expected.erase(tensor.name) == 0) {
      return corrupt("{}: tensor '{}' is not in {} for this file", path, printable(tensor.name), kSafetensorsIndex);
    }
  }
  if (expected.empty()) return {};
  return corrupt("{}: no tensor '{}', though {} names it there ({} missing)", path, printable(*expected.begin()), kSafetensorsIndex,
                 expected.size());
}

Result<TensorSource> open_shards(const fs::path& folder) {
  const std::string index_path = (folder / kSafetensorsIndex).string();
  LH_TRY(const std::string text, read_file(index_path, kMaxIndexBytes));
  LH_TRY(const ShardMap shards, parse_safetensors_index(text, index_path));
  LH_RETURN_IF_ERROR(check_all_shards_exist(folder, shards));
  TensorSource source;
  for (const auto& [file, tensors] : shards) {
    LH_RETURN_IF_ERROR(check_stays_in_folder(folder / file, folder));
    LH_TRY(MappedFile mapped, MappedFile::open((folder / file).string()));
    LH_TRY(SafetensorsHeader header, parse_safetensors_header(mapped.bytes(), mapped.path()));
    LH_RETURN_IF_ERROR(check_against_index(header, tensors, mapped.path()));
    LH_RETURN_IF_ERROR(source.add(std::move(mapped), std::move(header.tensors)));
  }
  return source;
}

}  // namespace

Result<TensorSource> open_safetensors(const std::string& path) {
  LH_TRY(MappedFile mapped, MappedFile::open(path));
  LH_TRY(SafetensorsHeader header, parse_safetensors_header(mapped.bytes(), path));
  TensorSource source;
  LH_RETURN_IF_ERROR(source.add(std::move(mapped), std::move(header.tensors)));
  return source;
}

bool has_checkpoint(const std::string& folder) {
  return is_there(fs::path(folder) / kSafetensorsFile) || is_there(fs::path(folder) / kSafetensorsIndex);
}

Result<TensorSource> open_checkpoint(const std::string& folder) {
  const fs::path home(folder);
  const bool has_file = is_there(home / kSafetensorsFile), has_index = is_there(home / kSafetensorsIndex);
  if (has_file && has_index) {
    return invalid("{}: holds both {} and {}; remove the one that is not the model", folder, kSafetensorsFile, kSafetensorsIndex);
  }
  if (has_index) return open_shards(home);
  if (has_file) return open_safetensors((home / kSafetensorsFile).string());
  return make_error(ErrorCode::kNotFound, "{}: neither {} nor {} there", folder, kSafetensorsFile, kSafetensorsIndex);
}

}  // namespace longhaul
