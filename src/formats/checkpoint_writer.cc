// CheckpointWriter: declared tensors are cut into shards first, so that each file's name can tell
// how many there are.

#include <filesystem>

#include "base/checked_math.h"
#include "base/json.h"
#include "base/printable.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"

namespace longhaul {

namespace fs = std::filesystem;

Status refuse_checkpoint(const std::string& folder) {
  std::error_code failed;
  for (const char* name : {kSafetensorsFile, kSafetensorsIndex}) {
    if (fs::exists(fs::path(folder) / name, failed)) {
      return invalid("{}: holds a {} already; give a folder without a checkpoint",
                     printable(folder), name);
    }
  }
  return {};
}

Result<CheckpointWriter> CheckpointWriter::create(const std::string& folder,
                                                  std::vector<TensorDecl> tensors,
                                                  uint64_t shard_bytes) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed)
    return make_error(ErrorCode::kIo, "{}: cannot make the folder: {}", folder, failed.message());
  LH_RETURN_IF_ERROR(refuse_checkpoint(folder));

  CheckpointWriter writer;
  writer.folder_ = folder;
  writer.shards_.emplace_back();
  for (TensorDecl& tensor : tensors) {
    LH_TRY(const uint64_t bytes,
           checked_nbytes(tensor.dtype, tensor.shape,
                          fmt::format("{}: tensor '{}'", folder, printable(tensor.name))));
    const auto grown = checked_add(writer.shards_.back().bytes, bytes);
    const bool is_full = !grown || *grown > shard_bytes;
    if (is_full && !writer.shards_.back().tensors.empty()) writer.shards_.emplace_back();
    writer.shards_.back().bytes += bytes;
    writer.shards_.back().tensors.push_back(std::move(tensor));
  }
  const size_t n = writer.shards_.size();
  for (size_t i = 0; i < n; ++i) {
    writer.shards_[i].file =
        n == 1 ? kSafetensorsFile : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, n);
  }
  LH_RETURN_IF_ERROR(writer.open_next_shard());
  return writer;
}

Status CheckpointWriter::open_next_shard() {
  if (writer_) LH_RETURN_IF_ERROR(writer_->finish());
  Shard& shard = shards_[n_opened_++];
  LH_TRY(SafetensorsWriter writer,
         SafetensorsWriter::create((fs::path(folder_) / shard.file).string(), shard.tensors));
  writer_ = std::make_unique<SafetensorsWriter>(std::move(writer));
  return {};
}

Status CheckpointWriter::write(std::string_view tensor, std::span<const std::byte> piece) {
  if (piece.empty()) return {};
  while (writer_->is_complete() && n_opened_ < shards_.size())
    LH_RETURN_IF_ERROR(open_next_shard());
  return writer_->write(tensor, piece);
}

Status CheckpointWriter::finish() {
  while (n_opened_ < shards_.size()) LH_RETURN_IF_ERROR(open_next_shard());
  LH_RETURN_IF_ERROR(writer_->finish());
  return shards_.size() == 1 ? Status() : write_index();
}

Status CheckpointWriter::write_index() {
  uint64_t total = 0;
  std::string weight_map;
  for (const Shard& shard : shards_) {
    total += shard.bytes;
    for (const TensorDecl& tensor : shard.tensors) {
      weight_map += fmt::format("{}\n    {}: \"{}\"", weight_map.empty() ? "" : ",",
                                Json(tensor.name).dump(), shard.file);
    }
  }
  LH_TRY(AtomicFile file, AtomicFile::create((fs::path(folder_) / kSafetensorsIndex).string()));
  LH_RETURN_IF_ERROR(file.write(std::string_view(
      fmt::format("{{\n  \"metadata\": {{\"total_size\": {}}},\n  \"weight_map\": {{{}\n  }}\n}}\n",
                  total, weight_map))));
  return file.commit();
}

}  // namespace longhaul
