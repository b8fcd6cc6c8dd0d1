// GGUF, versions 2 and 3: a header of typed key/values and tensors' descriptions, then the tensors'
// bytes at aligned offsets. Little-endian; values, names and tensors are read in place.
//
// Checked beyond what ggml's reader checks, so that no two readers can see different models in one
// file: keys and names stand once, all text is UTF-8, every tensor lies within the file, and
// between two of them there is padding alone.
// Source: https://github.com/ggml-org/ggml, docs/gguf.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "base/mapped_file.h"
#include "formats/gguf_metadata.h"
#include "formats/gguf_types.h"

namespace longhaul {

inline constexpr size_t kGgufMaxRank = 4;

// Valid as long as the bytes that it was parsed from.
struct GgufTensor {
  std::string_view name;
  GgufType type = GgufType::kF32;
  std::span<const std::byte> bytes;
  const MappedFile* file = nullptr;  // null for tensors parsed from memory
  uint32_t rank = 0;
  std::array<int64_t, kGgufMaxRank> extents{};

  // Outermost first, as in other formats; a file has it the other way round. The last one is a row.
  std::span<const int64_t> shape() const { return {extents.data(), rank}; }
};

struct GgufHeader {
  uint32_t version = 0;
  uint64_t alignment = 0;  // bytes
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // by offset
};

// `file_bytes` is a whole file; `where` names it in messages.
Result<GgufHeader> parse_gguf_header(std::span<const std::byte> file_bytes, std::string_view where);

struct GgufPart {
  MappedFile file;
  GgufHeader header;
};

// The metadata and the tensors of a model, in place in the file or files that it owns. Immutable;
// any number of threads. What it gave stays valid when it is moved.
class GgufSource {
 public:
  // The first part gives the metadata. A tensor that is in two parts is an error.
  static Result<GgufSource> of(std::vector<GgufPart> parts);
  // Of one file in memory, which must outlive this.
  static GgufSource of(GgufHeader header);

  const GgufMetadata& metadata() const { return metadata_; }
  const GgufTensor* find(std::string_view name) const;          // null where there is none
  std::span<const GgufTensor> all() const { return tensors_; }  // files by part, in each by offset
  const std::vector<std::unique_ptr<MappedFile>>& files() const { return files_; }
  // What tensors and metadata pointed to lives on in them.
  std::vector<MappedFile> take_files() &&;

 private:
  GgufSource() = default;
  void sort_names();

  std::vector<std::unique_ptr<MappedFile>> files_;
  GgufMetadata metadata_;
  std::vector<GgufTensor> tensors_;
  std::vector<uint32_t> by_name_;  // into tensors_
};

// The name of the first part of a split file, of which `name` is a part; nothing where it is none
// by its name.
std::optional<std::string> first_gguf_part(std::string_view name);

// A file, or any part of a split one: NAME-00001-of-00003.gguf. The other parts are looked for
// beside it, by their names alone; they must say that they belong together, and all must be there.
Result<GgufSource> open_gguf(const std::string& path);

}  // namespace longhaul
