// Opening checkpoints. An index decides which file a tensor is read from; without one the names of
// the files do. What contradicts itself is an error, and what is left unread is told.

#include <algorithm>
#include <filesystem>

#include "base/notice.h"
#include "base/printable.h"
#include "formats/safetensors.h"
#include "formats/safetensors_index.h"
#include "formats/weight_files.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxIndexBytes = 100'000'000;

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

bool is_in(const fs::path& file, const fs::path& folder) { return file.parent_path() == folder; }

// A shard may be a symbolic link only within its folder or, in a Hugging Face cache, where every
// file of snapshots/<commit> is a link, into the blobs beside it.
Status check_stays_in_folder(const fs::path& shard, const fs::path& folder) {
  std::error_code failed;
  const fs::path target = fs::canonical(shard, failed);
  const fs::path home = fs::canonical(folder, failed);
  if (failed)
    return make_error(ErrorCode::kIo, "{}: cannot resolve: {}", shard.string(), failed.message());
  const bool in_cache = home.parent_path().filename() == "snapshots";
  if (is_in(target, home) ||
      (in_cache && is_in(target, home.parent_path().parent_path() / "blobs")))
    return {};
  return corrupt("{}: links to {}, outside the checkpoint's folder; put the file itself there",
                 shard.string(), target.string());
}

struct OpenedShard {
  MappedFile file;
  std::vector<TensorInfo> tensors;
};

Result<OpenedShard> open_shard(const fs::path& folder, const std::string& name) {
  LH_RETURN_IF_ERROR(check_stays_in_folder(folder / name, folder));
  LH_TRY(MappedFile file, MappedFile::open((folder / name).string()));
  LH_TRY(SafetensorsHeader header, parse_safetensors_header(file.bytes(), file.path()));
  return OpenedShard{std::move(file), std::move(header.tensors)};
}

Status check_all_shards_exist(const fs::path& folder, const SafetensorsIndex& index) {
  std::string missing;
  for (const auto& [file, n_tensors] : index.files) {
    if (is_there(folder / file)) continue;
    missing += fmt::format("{}{} ({} tensors)", missing.empty() ? "" : ", ", file, n_tensors);
  }
  if (missing.empty()) return {};
  return make_error(ErrorCode::kNotFound,
                    "{}: shards named by {} are missing: {}; incomplete download? fetch the rest",
                    folder.string(), kSafetensorsIndex, missing);
}

// A name that the index sends to another file is a stale copy here. One that it does not know may
// be read, but need not be part of the model.
std::vector<TensorInfo> tensors_by_index(std::vector<TensorInfo> tensors, const std::string& file,
                                         const SafetensorsIndex& index) {
  std::erase_if(tensors, [&](TensorInfo& t) {
    const auto it = index.file_of.find(t.name);
    t.is_listed = it != index.file_of.end();
    return t.is_listed && it->second != file;
  });
  return tensors;
}

Status check_holds_all(const TensorSource& source, const fs::path& folder,
                       const SafetensorsIndex& index) {
  std::vector<std::string> missing;
  for (const auto& [tensor, file] : index.file_of) {
    if (source.find(tensor) == nullptr) missing.push_back(tensor);
  }
  if (missing.empty()) return {};
  const std::string& first = *std::min_element(missing.begin(), missing.end());
  return corrupt("{}: no tensor '{}', though {} names it there ({} missing); download both again",
                 (folder / index.file_of.at(first)).string(), printable(first), kSafetensorsIndex,
                 missing.size());
}

Result<TensorSource> open_indexed(const fs::path& folder, const SafetensorsIndex& index) {
  LH_RETURN_IF_ERROR(check_all_shards_exist(folder, index));
  TensorSource source;
  for (const auto& [file, n_tensors] : index.files) {
    LH_TRY(OpenedShard shard, open_shard(folder, file));
    LH_RETURN_IF_ERROR(
        source.add(std::move(shard.file), tensors_by_index(std::move(shard.tensors), file, index)));
  }
  LH_RETURN_IF_ERROR(check_holds_all(source, folder, index));
  return source;
}

Result<TensorSource> open_set(const fs::path& folder, const ShardSet& set) {
  LH_RETURN_IF_ERROR(set.check_complete(folder.string()));
  TensorSource source;
  for (const auto& [number, file] : set.files) {
    LH_TRY(OpenedShard shard, open_shard(folder, file));
    LH_RETURN_IF_ERROR(source.add(std::move(shard.file), std::move(shard.tensors)));
  }
  return source;
}

// The only set of shards, or the only one called "model" among others.
const ShardSet* choose_set(const std::vector<ShardSet>& sets) {
  if (sets.size() == 1) return &sets.front();
  const ShardSet* chosen = nullptr;
  for (const ShardSet& set : sets) {
    if (set.stem != "model") continue;
    if (chosen != nullptr) return nullptr;
    chosen = &set;
  }
  return chosen;
}

Error several_candidates(const fs::path& folder, const WeightFiles& files) {
  std::vector<std::string> candidates;
  for (const ShardSet& set : files.sets) candidates.push_back(printable(set.files.begin()->second));
  for (const std::string& name : files.others) candidates.push_back(printable(name));
  return invalid("{}: no {} says which of these are the model: {}; move the others away",
                 folder.string(), kSafetensorsIndex, fmt::join(candidates, ", "));
}

// By the names of the files: model.safetensors, numbered shards, or the one file there is.
Result<TensorSource> open_by_names(const fs::path& folder, const WeightFiles& files) {
  if (files.has_single) {
    if (!files.sets.empty())
      notice("{}: read alone, not the numbered shards beside it",
             (folder / kSafetensorsFile).string());
    return open_safetensors((folder / kSafetensorsFile).string());
  }
  if (const ShardSet* set = choose_set(files.sets)) return open_set(folder, *set);
  if (files.sets.empty() && files.others.size() == 1) {
    LH_RETURN_IF_ERROR(check_stays_in_folder(folder / files.others.front(), folder));
    return open_safetensors((folder / files.others.front()).string());
  }
  if (!files.empty()) return several_candidates(folder, files);
  return make_error(ErrorCode::kNotFound, "{}: neither {} nor {} there; {}", folder.string(),
                    kSafetensorsFile, kSafetensorsIndex, explain_no_weights(files));
}

// An index that names only files of an earlier save: whoever wrote the folder again left it behind.
bool is_left_behind(const fs::path& folder, const SafetensorsIndex& index,
                    const WeightFiles& files) {
  if (!files.has_single && files.sets.empty()) return false;
  return std::none_of(index.files.begin(), index.files.end(),
                      [&](const auto& file) { return is_there(folder / file.first); });
}

Result<TensorSource> open_by_index_or_names(const fs::path& folder, const WeightFiles& files) {
  if (!files.has_index) return open_by_names(folder, files);
  const std::string index_path = (folder / kSafetensorsIndex).string();
  LH_TRY(const std::string text, read_file(index_path, kMaxIndexBytes));
  LH_TRY(const SafetensorsIndex index, parse_safetensors_index(text, index_path));
  if (is_left_behind(folder, index, files)) {
    notice("{}: none of the files that it names is there, so it is not followed", index_path);
    return open_by_names(folder, files);
  }
  if (files.has_single && !index.files.contains(kSafetensorsFile))
    notice("{}: not named by {}, so it is not read", (folder / kSafetensorsFile).string(),
           kSafetensorsIndex);
  return open_indexed(folder, index);
}

// What training wraps a model in and some forget to take off before saving: distributed, compiled,
// and with adapters that were merged. Only where it stands before every name.
void unwrap_names(TensorSource& source) {
  constexpr std::string_view kWrappers[] = {"module.", "_orig_mod.", "base_model.model."};
  while (std::any_of(std::begin(kWrappers), std::end(kWrappers),
                     [&](std::string_view w) { return source.drop_prefix(w); })) {
  }
}

}  // namespace

Result<TensorSource> open_safetensors(const std::string& path) {
  LH_TRY(MappedFile mapped, MappedFile::open(path));
  LH_TRY(SafetensorsHeader header, parse_safetensors_header(mapped.bytes(), path));
  TensorSource source;
  LH_RETURN_IF_ERROR(source.add(std::move(mapped), std::move(header.tensors)));
  return source;
}

bool has_checkpoint(const std::string& folder) { return !list_weight_files(folder).empty(); }

Result<TensorSource> open_checkpoint(const std::string& folder) {
  const WeightFiles files = list_weight_files(folder);
  LH_TRY(TensorSource source, open_by_index_or_names(folder, files));
  for (const std::string& adapter : files.adapters) {
    notice("{}: a LoRA adapter, which is not applied; give its folder with --lora to use it",
           (fs::path(folder) / adapter).string());
  }
  unwrap_names(source);
  return source;
}

}  // namespace longhaul
