// Writing safetensors: all tensors are declared first, then their bytes are streamed in that order,
// in pieces of any size, so a checkpoint of any size is written in constant memory. Files appear
// under their names only when whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/atomic_file.h"
#include "base/errors.h"
#include "tensor/dtype.h"

namespace longhaul {

struct TensorDecl {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
};

// One file. The data starts at a multiple of 64 bytes and keeps the declared order: to have every
// tensor aligned for its type, declare wider types first.
class SafetensorsWriter {
 public:
  static Result<SafetensorsWriter> create(const std::string& path, std::vector<TensorDecl> tensors);

  // The next bytes of `tensor`, which must be the first declared one that is not complete.
  Status write(std::string_view tensor, std::span<const std::byte> piece);
  bool is_complete() const { return current_ == tensors_.size(); }
  Status finish();  // every tensor must be complete

 private:
  SafetensorsWriter(AtomicFile file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}
  void skip_complete();

  struct Pending {
    std::string name;
    uint64_t left;
  };
  AtomicFile file_;
  std::string path_;
  std::vector<Pending> tensors_;
  size_t current_ = 0;
};

inline constexpr uint64_t kDefaultShardBytes = uint64_t{4} << 30;

// kInvalidArgument for a folder that holds a checkpoint.
Status refuse_checkpoint(const std::string& folder);

// A checkpoint folder: model.safetensors, or model-0000i-of-0000n.safetensors and their index when
// the tensors' bytes exceed shard_bytes. A tensor is never split; one larger than shard_bytes has a
// shard to itself. The folder is made where missing, and must not hold a checkpoint yet.
class CheckpointWriter {
 public:
  static Result<CheckpointWriter> create(const std::string& folder, std::vector<TensorDecl> tensors,
                                         uint64_t shard_bytes = kDefaultShardBytes);

  Status write(std::string_view tensor,
               std::span<const std::byte> piece);  // in declared order, as above
  Status finish();                                 // last shard, then the index

 private:
  struct Shard {
    std::string file;
    std::vector<TensorDecl> tensors;
    uint64_t bytes = 0;
  };
  CheckpointWriter() = default;
  Status open_next_shard();
  Status write_index();

  std::string folder_;
  std::vector<Shard> shards_;
  size_t n_opened_ = 0;
  std::unique_ptr<SafetensorsWriter> writer_;
};

}  // namespace longhaul
