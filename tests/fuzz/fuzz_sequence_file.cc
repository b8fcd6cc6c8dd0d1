// A saved state from bytes: magic, fingerprint and checksum are put right, so that what stands behind them is reached.

#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/check.h"
#include "base/mapped_file.h"
#include "engine/sequence.h"
#include "models/registry.h"

namespace {

using namespace longhaul;

constexpr size_t kPrefix = 16;  // magic and fingerprint
constexpr int64_t kContext = 300;

const Architecture& architecture() {
  static const Architecture arch = [] {
    const auto config = parse_json(R"({"model_type": "gemma3_text", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 1,
                                       "num_key_value_heads": 1, "head_dim": 2, "sliding_window": 16,
                                       "layer_types": ["sliding_attention", "full_attention"]})",
                                   "config");
    return *read_architecture(*config, "config");
  }();
  return arch;
}

std::vector<std::byte> prefix() {
  const auto path =
      std::filesystem::temp_directory_path() / ("longhaul-fuzz-state." + std::to_string(reinterpret_cast<uintptr_t>(&architecture())));
  const auto sequence = Sequence::create(architecture(), DType::kF32, kContext);
  LH_CHECK(sequence.ok() && sequence->save(path.string()).ok());
  const auto file = MappedFile::open(path.string());
  LH_CHECK(file.ok());
  std::filesystem::remove(path);
  return {file->bytes().begin(), file->bytes().begin() + kPrefix};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::byte> kHead = prefix();
  std::vector<std::byte> file = kHead;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  file.insert(file.end(), bytes, bytes + size);
  const uint64_t sum = XXH3_64bits(file.data(), file.size());
  const auto* tail = reinterpret_cast<const std::byte*>(&sum);
  file.insert(file.end(), tail, tail + sizeof sum);

  auto sequence = Sequence::parse(architecture(), file, "input", kContext);
  if (!sequence.ok()) return 0;
  LH_CHECK(sequence->length() <= sequence->max_tokens() && sequence->max_tokens() <= kContext);
  LH_CHECK(sequence->allocated_bytes() <= size + 4096);
  LH_CHECK(sequence->reserve(sequence->max_tokens()).ok() && !sequence->reserve(kContext + 1).ok());
  LH_CHECK(sequence->fork().ok());
  return 0;
}
