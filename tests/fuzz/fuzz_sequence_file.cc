// A saved state from bytes: magic, fingerprint and checksum are put right, so that what stands
// behind them is reached.

#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <vector>

#include "base/check.h"
#include "base/mapped_file.h"
#include "check_error.h"
#include "models/registry.h"
#include "runtime/sequence.h"

namespace {

using namespace longhaul;

constexpr size_t kPrefix = 16;  // magic and fingerprint
constexpr int64_t kContext = 300;

// A ring and pages; and rings, compressed rows of two ratios, keys alone and open windows.
constexpr const char* kConfigs[] = {
    R"({"model_type": "gemma3_text", "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 2,
        "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]})",
    R"({"model_type": "deepseek_v4", "hidden_size": 16, "num_hidden_layers": 3,
        "num_attention_heads": 1, "head_dim": 16, "qk_rope_head_dim": 2,
        "o_groups": 1, "index_head_dim": 16, "sliding_window": 16,
        "compress_ratios": [0, 4, 128]})"};

std::vector<std::byte> prefix(const Architecture& arch) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("longhaul-fuzz-state." + std::to_string(reinterpret_cast<uintptr_t>(&arch)));
  const auto sequence = Sequence::create(arch, DType::kF32, kContext);
  LH_CHECK(sequence.ok() && sequence->save(path.string()).ok());
  const auto file = MappedFile::open(path.string());
  LH_CHECK(file.ok());
  std::filesystem::remove(path);
  return {file->bytes().begin(), file->bytes().begin() + kPrefix};
}

struct Kind {
  Architecture arch;
  std::vector<std::byte> head;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = [] {
    std::vector<Kind> made;
    for (const char* text : kConfigs) {
      const auto config = parse_json(text, "config");
      Architecture arch = *read_architecture(*config, "config");
      std::vector<std::byte> head = prefix(arch);
      made.push_back({std::move(arch), std::move(head)});
    }
    return made;
  }();
  return all;
}

void try_restoring(const Kind& kind, const uint8_t* data, size_t size) {
  std::vector<std::byte> file = kind.head;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  file.insert(file.end(), bytes, bytes + size);
  const uint64_t sum = XXH3_64bits(file.data(), file.size());
  const auto* tail = reinterpret_cast<const std::byte*>(&sum);
  file.insert(file.end(), tail, tail + sizeof sum);

  auto sequence = Sequence::parse(kind.arch, file, "input", kContext);
  if (!sequence.ok()) {
    check_error(sequence.error());
    return;
  }
  LH_CHECK(sequence->length() <= sequence->max_tokens() && sequence->max_tokens() <= kContext);
  LH_CHECK(sequence->allocated_bytes() <= size + 4096);
  LH_CHECK(sequence->reserve(sequence->max_tokens()).ok() && !sequence->reserve(kContext + 1).ok());
  LH_CHECK(sequence->fork().ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const Kind& kind : kinds()) try_restoring(kind, data, size);
  return 0;
}
