#include "formats/weight_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>

#include "base/printable.h"
#include "formats/safetensors.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".safetensors";

struct ShardName {
  std::string_view stem;
  int64_t number = 0, total = 0;
};

// Takes "-00002" off the end of a text.
std::optional<int64_t> take_number(std::string_view& text) {
  const size_t dash = text.rfind('-');
  if (dash == text.npos || dash + 1 == text.size()) return std::nullopt;
  int64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data() + dash + 1, text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  text = text.substr(0, dash);
  return number;
}

std::optional<ShardName> parse_shard_name(std::string_view file) {
  constexpr std::string_view kOf = "-of";
  std::string_view rest = file.substr(0, file.size() - kExtension.size());
  const auto total = take_number(rest);
  if (!total || !rest.ends_with(kOf)) return std::nullopt;
  rest.remove_suffix(kOf.size());
  const auto number = take_number(rest);
  if (!number || rest.empty()) return std::nullopt;
  return ShardName{rest, *number, *total};
}

bool is_adapter(std::string_view file) {
  return file == "adapter_model.safetensors" || file == "adapter_model.bin" ||
         file == "adapters.safetensors";
}

void add_shard(std::vector<ShardSet>& sets, const ShardName& name, const std::string& file) {
  auto it = std::find_if(sets.begin(), sets.end(), [&](const ShardSet& s) {
    return s.stem == name.stem && s.total == name.total;
  });
  if (it == sets.end()) it = sets.insert(it, {std::string(name.stem), name.total, {}});
  it->files.emplace(name.number, file);
}

struct Foreign {
  std::string_view extension, what;
};
constexpr std::string_view kPickle =
    "PyTorch's own format, which runs code when it is read: load it with the transformers library "
    "and save_pretrained() it as safetensors";
constexpr std::string_view kOther = "a format that is not read: get the model as safetensors";
constexpr std::array kForeign = {
    Foreign{".gguf", "GGUF, which holds a whole model: give the file itself as the model"},
    Foreign{".bin", kPickle},
    Foreign{".pt", kPickle},
    Foreign{".pth", kPickle},
    Foreign{".ckpt", kPickle},
    Foreign{".h5", kOther},
    Foreign{".msgpack", kOther},
    Foreign{".onnx", kOther},
    Foreign{".npz", kOther},
};

const Foreign* foreign_format(std::string_view file) {
  // Trainers leave their own state beside a checkpoint.
  for (const char* not_weights : {"training_args", "optimizer", "scheduler", "rng_state"}) {
    if (file.starts_with(not_weights)) return nullptr;
  }
  for (const Foreign& format : kForeign) {
    if (file.ends_with(format.extension)) return &format;
  }
  return nullptr;
}

}  // namespace

Status ShardSet::check_complete(const std::string& folder) const {
  const int64_t first = files.contains(0) ? 0 : 1;
  std::vector<std::string> missing;
  constexpr size_t kShown = 5;
  for (int64_t n = first; n < first + total && missing.size() <= kShown; ++n) {
    if (!files.contains(n))
      missing.push_back(fmt::format("{}-{:05}-of-{:05}{}", printable(stem), n, total, kExtension));
  }
  if (missing.empty() && static_cast<int64_t>(files.size()) == total) return {};
  if (missing.empty()) {
    return corrupt("{}: {} shards are named '{}-...-of-{}'; remove those that are not the model's",
                   folder, files.size(), printable(stem), total);
  }
  const bool more = missing.size() > kShown;
  if (more) missing.pop_back();
  return make_error(
      ErrorCode::kNotFound,
      "{}: {} of {} shards are there, missing are {}{}; incomplete download? fetch the rest",
      folder, files.size(), total, fmt::join(missing, ", "), more ? " and others" : "");
}

WeightFiles list_weight_files(const std::string& folder) {
  WeightFiles files;
  std::error_code failed;
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (name == kSafetensorsIndex) {
      files.has_index = true;
    } else if (name == kSafetensorsFile) {
      files.has_single = true;
    } else if (is_adapter(name)) {
      files.adapters.push_back(name);
    } else if (!name.ends_with(kExtension)) {
      if (foreign_format(name) != nullptr) files.foreign.push_back(name);
    } else if (const auto shard = parse_shard_name(name)) {
      add_shard(files.sets, *shard, name);
    } else {
      files.others.push_back(name);
    }
  }
  return files;
}

std::string explain_no_weights(const WeightFiles& files) {
  if (!files.adapters.empty()) {
    return fmt::format(
        "'{}' is a LoRA adapter, which changes another model: give that one, and this folder with "
        "--lora",
        printable(files.adapters.front()));
  }
  if (!files.foreign.empty()) {
    const std::string& name = files.foreign.front();
    return fmt::format("'{}' is {}", printable(name), foreign_format(name)->what);
  }
  return "download the model's *.safetensors into it";
}

}  // namespace longhaul
