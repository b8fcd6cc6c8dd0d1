#include "checkpoint/model_files.h"

#include <array>
#include <filesystem>
#include <set>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "checkpoint/gguf_model.h"
#include "formats/config_reader.h"
#include "formats/safetensors.h"
#include "formats/weight_files.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "config.json";
constexpr const char* kNamedTemplates = "additional_chat_templates";
constexpr const char* kEncoding = "encoding";
constexpr const char* kTemplateExtension = ".jinja";
constexpr size_t kMaxTextBytes = size_t{16} << 20;

struct TextFile {
  TextKind kind;
  const char* name;
  size_t max_bytes = kMaxTextBytes;
};
constexpr std::array kTextFiles = {
    TextFile{TextKind::kTokenizer, "tokenizer.json", size_t{1} << 30},
    TextFile{TextKind::kTokenizerConfig, "tokenizer_config.json"},
    TextFile{TextKind::kSpecialTokens, "special_tokens_map.json"},
    TextFile{TextKind::kGenerationConfig, "generation_config.json", size_t{1} << 20},
    TextFile{TextKind::kChatTemplate, "chat_template.jinja"},
    TextFile{TextKind::kChatTemplateJson, "chat_template.json"},
    TextFile{TextKind::kProcessorConfig, "processor_config.json"},
    TextFile{TextKind::kDsmlProse, "encoding/encoding_dsv4.py", size_t{1} << 20},
    TextFile{TextKind::kQuantisation, "hf_quant_config.json"},
};

const TextFile& file_of(TextKind kind) { return kTextFiles.at(static_cast<size_t>(kind)); }

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// Names in a folder, none where it cannot be read.
std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code failed;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed))
    files.push_back(it->path());
  return files;
}

Status copy_text(const fs::path& from, const fs::path& to) {
  std::error_code ignored;
  fs::create_directories(to.parent_path(), ignored);
  LH_TRY(const MappedFile text, MappedFile::open(from.string()));
  LH_TRY(AtomicFile copy, AtomicFile::create(to.string()));
  LH_RETURN_IF_ERROR(copy.write(text.bytes()));
  return copy.commit();
}

class ModelFolder final : public ModelFiles {
 public:
  ModelFolder(const std::string& folder, ModelConfig config)
      : ModelFiles(std::move(config)), folder_(folder) {}

  Result<TensorSource> open_tensors() const override { return open_checkpoint(folder_); }

  Result<std::optional<std::string>> read(TextKind kind) const override {
    if (!is_there(where(kind))) return std::optional<std::string>();
    LH_TRY(std::string text, read_file(where(kind), file_of(kind).max_bytes));
    return std::optional(std::move(text));
  }
  std::string where(TextKind kind) const override { return folder_ + "/" + file_of(kind).name; }

  Result<std::map<std::string, std::string>> named_templates() const override {
    std::map<std::string, std::string> templates;
    for (const fs::path& file : files_in(where_named_templates())) {
      if (file.extension() != kTemplateExtension) continue;
      LH_TRY(templates[file.stem().string()], read_file(file.string(), kMaxTextBytes));
    }
    return templates;
  }
  std::string where_named_templates() const override { return folder_ + "/" + kNamedTemplates; }

  std::vector<std::string> text_files() const override {
    std::vector<std::string> own;
    for (const fs::path& file : files_in(folder_)) {
      if (file.extension() == ".json" || file.extension() == kTemplateExtension)
        own.push_back(file.string());
    }
    return own;
  }

  Status copy_texts(const std::string& folder) const override {
    const fs::path from(folder_);
    std::set<fs::path> names;
    for (const TextFile& text : kTextFiles) {
      // What it says of tensors is not so in the copy.
      if (text.kind != TextKind::kQuantisation) names.emplace(text.name);
    }
    for (const fs::path sub : {kEncoding, kNamedTemplates}) {
      for (const fs::path& file : files_in(from / sub)) names.insert(sub / file.filename());
    }
    std::error_code ignored;
    for (const fs::path& name : names) {
      if (fs::is_regular_file(from / name, ignored))
        LH_RETURN_IF_ERROR(copy_text(from / name, folder / name));
    }
    return {};
  }

 private:
  std::string folder_;
};

// "demo" for models/demo and models/demo/.
std::string folder_name(const std::string& folder) {
  std::error_code ignored;
  const fs::path path = fs::absolute(folder, ignored).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// A file, or a folder that holds one and no other weights.
Result<std::optional<std::string>> find_gguf_file(const std::string& path) {
  if (is_gguf(path)) return std::optional(path);
  std::error_code ignored;
  if (!fs::is_directory(path, ignored) || has_checkpoint(path)) return std::optional<std::string>();
  return find_gguf(path);
}

// What to give instead of a path that is no model's folder.
std::string remedy_without_config(const fs::path& folder) {
  std::error_code ignored;
  if (!is_there(folder))
    return "there is no such folder; give one with config.json and *.safetensors, or a GGUF file";
  if (!fs::is_directory(folder, ignored))
    return fmt::format("'{}' is a file; give the folder that it is in", folder.string());
  // models--owner--name of a Hugging Face cache: each snapshot is a model's folder.
  for (const fs::path& snapshot : files_in(folder / "snapshots")) {
    if (is_there(snapshot / kConfigFile))
      return fmt::format("give its snapshot, {}", snapshot.string());
  }
  const WeightFiles files = list_weight_files(folder.string());
  if (files.empty() && !(files.adapters.empty() && files.foreign.empty()))
    return explain_no_weights(files);
  return "download the model's config.json into the folder";
}

Status check_has_config(const std::string& folder) {
  if (is_there(fs::path(folder) / kConfigFile)) return {};
  return make_error(ErrorCode::kNotFound, "{}/{}: not there; {}", folder, kConfigFile,
                    remedy_without_config(folder));
}

Result<ModelConfig> read_config(const fs::path& file, std::string where, std::string name) {
  LH_TRY(Json config, read_json_file(file.string(), kMaxTextBytes));
  return ModelConfig{std::move(config), std::move(where), std::move(name)};
}

}  // namespace

Result<Json> ModelFiles::read_json(TextKind kind) const {
  LH_TRY(const std::optional<std::string> text, read(kind));
  if (!text) return Json();
  return parse_json(*text, where(kind));
}

Result<std::unique_ptr<const ModelFiles>> open_model_files(const std::string& path) {
  LH_TRY(const std::optional<std::string> gguf, find_gguf_file(path));
  if (gguf) return open_gguf_model(*gguf);
  LH_RETURN_IF_ERROR(check_has_config(path));
  const std::string file = path + "/" + kConfigFile;
  LH_TRY(ModelConfig config, read_config(file, file, folder_name(path)));
  std::unique_ptr<const ModelFiles> files = std::make_unique<ModelFolder>(path, std::move(config));
  return files;
}

Result<std::optional<ModelConfig>> find_model_config(const std::string& path) {
  LH_TRY(const std::optional<std::string> gguf, find_gguf_file(path));
  if (gguf) {
    LH_TRY(const auto files, open_gguf_model(*gguf));
    return std::optional(files->config());
  }
  std::error_code ignored;
  const fs::path given(path), inside = given / kConfigFile;
  if (fs::is_regular_file(inside, ignored)) {
    LH_TRY(ModelConfig config, read_config(inside, inside.string(), folder_name(path)));
    return std::optional(std::move(config));
  }
  if (fs::is_regular_file(given, ignored)) {
    LH_TRY(ModelConfig config, read_config(given, path, given.stem().string()));
    return std::optional(std::move(config));
  }
  if (fs::is_directory(given, ignored)) LH_RETURN_IF_ERROR(check_has_config(path));
  return std::optional<ModelConfig>();
}

bool has_weights(const std::string& path) {
  if (has_checkpoint(path)) return true;
  const auto gguf = find_gguf_file(path);
  return gguf.ok() && *gguf;
}

Status write_model_config(const std::string& folder, const Json& config) {
  LH_TRY(AtomicFile file, AtomicFile::create(folder + "/" + kConfigFile));
  LH_RETURN_IF_ERROR(file.write(config.dump(2) + "\n"));
  return file.commit();
}

}  // namespace longhaul
