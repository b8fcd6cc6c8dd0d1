// Checkpoints under tests/golden as GGUF files: what a converter makes of them, written here from
// the names and keys of the published files.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "tensor/dtype.h"

namespace longhaul::testing {

struct HfTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;
};

// The tensors and the config of a folder, to be changed and written elsewhere.
struct HfCheckpoint {
  std::map<std::string, HfTensor> tensors;
  Json config;

  const Json& text_config() const;
  void set(const char* field, Json value);  // of the text config
  // Matrices as bf16, vectors as f32: as converters keep them. Both are exact in what is read.
  void round_matrices_to_bf16();
  void write(const std::string& folder) const;
};
HfCheckpoint read_golden(const std::string& name);
HfCheckpoint read_folder(const std::string& path);

// Fails the test where a tensor has no place in such a file. With several parts `path` is what
// stands before "-00001-of-0000N.gguf"; gives the path of the first file.
//   values  keys besides those of the config or in their place, as formats/gguf_testing.h writes
//           them; a name alone (raw_string) leaves one out
std::string write_gguf(const HfCheckpoint& checkpoint, const std::string& path, int n_parts = 1,
                       const std::vector<std::string>& values = {});

// Two files of one model: of blocks of a type, of random content, wherever a tensor's rows are
// whole blocks; and of the values that those have, in F32.
struct BlockFiles {
  std::string blocks, floats;
};
BlockFiles write_blocks(const HfCheckpoint& checkpoint, const std::string& path, DType type);

}  // namespace longhaul::testing
