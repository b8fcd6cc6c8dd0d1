#include "checkpoint/gguf_model.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/atomic_file.h"
#include "base/notice.h"
#include "base/printable.h"
#include "formats/gguf.h"
#include "formats/gguf_tokenizer.h"
#include "models/registry.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".gguf";
constexpr size_t kMaxTokenizerBytes = size_t{1} << 30, kMaxTextBytes = size_t{16} << 20;

// Texts that may lie beside a file, and under which names a folder has those that it holds.
struct TextFile {
  TextKind kind;
  const char* name;
  bool is_read_beside;
};
constexpr std::array kTextFiles = {
    TextFile{TextKind::kTokenizer, "tokenizer.json", true},
    TextFile{TextKind::kTokenizerConfig, "tokenizer_config.json", false},
    TextFile{TextKind::kGenerationConfig, "generation_config.json", false},
    TextFile{TextKind::kChatTemplate, "chat_template.jinja", true},
    TextFile{TextKind::kDsmlProse, "encoding/encoding_dsv4.py", true},
};

const TextFile* text_file(TextKind kind) {
  const auto it = std::find_if(kTextFiles.begin(), kTextFiles.end(),
                               [&](const TextFile& file) { return file.kind == kind; });
  return it == kTextFiles.end() ? nullptr : &*it;
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

fs::path folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  return folder.empty() ? fs::path(".") : folder;
}

// A key of the file itself: a text, or what stands for one that is missing.
Result<std::string> general(const GgufMetadata& metadata, const char* key, const char* missing,
                            const std::string& where) {
  const GgufValue* value = metadata.find(key);
  if (value == nullptr) return std::string(missing);
  if (const auto text = value->as_string()) return std::string(*text);
  return corrupt("{}: {} is {}, expected a text; download the file again", where, key,
                 value->type_name());
}

struct Kind {
  std::string type, architecture;
};

Result<Kind> kind_of(const GgufMetadata& metadata, const std::string& where) {
  Kind kind;
  LH_TRY(kind.type, general(metadata, "general.type", "model", where));
  LH_TRY(kind.architecture, general(metadata, "general.architecture", "", where));
  return kind;
}

// What a file is that is no model, empty where it is one: of an architecture that is known or not.
std::string not_a_model(const Kind& kind) {
  if (kind.type != "model") return fmt::format("general.type '{}'", printable(kind.type));
  if (kind.architecture == "clip") return "a tower for images or sound";
  return "";
}

class GgufModel final : public ModelFiles {
 public:
  GgufModel(std::string path, GgufSource file, const GgufReading& reading, ModelConfig config)
      : ModelFiles(std::move(config)),
        path_(std::move(path)),
        file_(std::move(file)),
        reading_(reading) {}

  Result<TensorSource> open_tensors() const override {
    LH_TRY(GgufSource file, open_gguf(path_));
    LH_TRY(std::vector<TensorInfo> tensors, tensors_of(file, reading_));
    std::map<const MappedFile*, std::vector<TensorInfo>> by_file;
    for (TensorInfo& tensor : tensors) by_file[tensor.file].push_back(std::move(tensor));
    std::vector<std::vector<TensorInfo>> in_order;
    for (const auto& mapped : file.files()) in_order.push_back(std::move(by_file[mapped.get()]));
    TensorSource source;
    std::vector<MappedFile> files = std::move(file).take_files();
    for (size_t i = 0; i < files.size(); ++i)
      LH_RETURN_IF_ERROR(source.add(std::move(files[i]), std::move(in_order[i])));
    return source;
  }

  Result<std::optional<std::string>> read(TextKind kind) const override {
    if (const auto beside = file_beside(kind)) {
      if (kind == TextKind::kTokenizer)
        notice("{}: read in place of the tokenizer that {} holds", *beside, path_);
      LH_TRY(std::string text,
             read_file(*beside, kind == TextKind::kTokenizer ? kMaxTokenizerBytes : kMaxTextBytes));
      return std::optional(std::move(text));
    }
    auto text = read_metadata(kind);
    // A vocabulary is some megabytes, read once.
    for (const auto& file : file_.files()) file->drop(file->bytes());
    return text;
  }

  std::string where(TextKind kind) const override {
    if (const auto beside = file_beside(kind)) return *beside;
    return kind == TextKind::kGenerationConfig ? path_ : path_ + ": tokenizer";
  }

  Result<std::map<std::string, std::string>> named_templates() const override {
    return std::map<std::string, std::string>();  // with the main one
  }
  std::string where_named_templates() const override { return where(TextKind::kTokenizerConfig); }

  std::vector<std::string> text_files() const override {
    std::vector<std::string> own;
    for (const TextFile& text : kTextFiles) {
      if (const auto beside = file_beside(text.kind)) own.push_back(*beside);
    }
    return own;
  }

  Status copy_texts(const std::string& folder) const override {
    for (const TextFile& text : kTextFiles) {
      LH_TRY(const std::optional<std::string> content, read(text.kind));
      if (!content) continue;
      const fs::path to = fs::path(folder) / text.name;
      std::error_code ignored;
      fs::create_directories(to.parent_path(), ignored);
      LH_TRY(AtomicFile file, AtomicFile::create(to.string()));
      LH_RETURN_IF_ERROR(file.write(*content));
      LH_RETURN_IF_ERROR(file.commit());
    }
    return {};
  }

 private:
  Result<std::optional<std::string>> read_metadata(TextKind kind) const {
    switch (kind) {
      case TextKind::kTokenizer:
        return gguf_tokenizer_json(file_.metadata(), path_, reading_.tokens);
      case TextKind::kTokenizerConfig:
        return dumped(gguf_tokenizer_config(file_.metadata(), path_));
      case TextKind::kGenerationConfig:
        return dumped(gguf_generation_config(file_.metadata(), path_, reading_.tokens));
      default: return std::optional<std::string>();
    }
  }

  std::optional<std::string> file_beside(TextKind kind) const {
    const TextFile* text = text_file(kind);
    if (text == nullptr || !text->is_read_beside) return std::nullopt;
    const fs::path beside = folder_of(path_) / text->name;
    return is_file(beside) ? std::optional(beside.string()) : std::nullopt;
  }

  static Result<std::optional<std::string>> dumped(Result<Json> json) {
    if (!json.ok()) return json.take_error();
    return std::optional(json->dump(2) + "\n");
  }

  std::string path_;
  GgufSource file_;
  const GgufReading& reading_;
};

// "gemma-3-270m-q4_k_m" of its file, or of the first part.
std::string name_of(const std::string& path) {
  std::string name = fs::path(path).stem().string();
  constexpr std::string_view kPart = "-00001-of-00001";
  if (const auto first = first_gguf_part(fs::path(path).filename().string()))
    name = fs::path(*first).stem().string().substr(
        0, first->size() - kExtension.size() - kPart.size());
  return name;
}

// The files of a folder, of split ones the first part, in order of their names.
std::vector<std::string> list_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code failed;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    std::string name = it->path().filename().string();
    if (!name.ends_with(kExtension)) continue;
    const auto first = first_gguf_part(name);
    if (first && is_file(fs::path(folder) / *first)) name = *first;
    files.push_back(std::move(name));
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

// Nothing where the config has what the tensor says.
Result<std::optional<TensorInfo>> tensor_info(const GgufTensor& tensor, const GgufSource& file,
                                              const GgufReading& reading) {
  const auto name = reading.tensor_name(tensor.name, file);
  if (name && name->empty()) return std::optional<TensorInfo>();
  const auto dtype = dtype_of(tensor.type);
  if (!dtype)
    return unsupported("{}: tensor '{}' is {}, which is not read; get another quantisation",
                       tensor.file == nullptr ? "memory" : tensor.file->path(),
                       printable(tensor.name), info_of(tensor.type).name);
  return std::optional(TensorInfo{.name = name.value_or(std::string(tensor.name)),
                                  .dtype = *dtype,
                                  .shape = {tensor.shape().begin(), tensor.shape().end()},
                                  .bytes = tensor.bytes,
                                  .file = tensor.file});
}

}  // namespace

Result<const GgufReading*> find_reading(const GgufSource& file, const std::string& where) {
  LH_TRY(const Kind kind, kind_of(file.metadata(), where));
  if (const std::string what = not_a_model(kind); !what.empty())
    return unsupported("{}: holds no model of its own: {}; give the model's file", where, what);
  return find_gguf_reading(kind.architecture, where);
}

Result<std::vector<TensorInfo>> tensors_of(const GgufSource& file, const GgufReading& reading) {
  std::vector<TensorInfo> tensors;
  for (const GgufTensor& tensor : file.all()) {
    LH_TRY(std::optional<TensorInfo> info, tensor_info(tensor, file, reading));
    if (info) tensors.push_back(std::move(*info));
  }
  return tensors;
}

bool is_gguf(const std::string& path) {
  if (!is_file(path)) return false;
  const auto file = MappedFile::open(path);
  constexpr std::string_view kMagic = "GGUF";
  return file.ok() && file->bytes().size() >= kMagic.size() &&
         std::string_view(reinterpret_cast<const char*>(file->bytes().data()), kMagic.size()) ==
             kMagic;
}

Result<std::optional<std::string>> find_gguf(const std::string& folder) {
  std::vector<std::string> models, others;
  for (const std::string& name : list_files(folder)) {
    const std::string path = (fs::path(folder) / name).string();
    LH_TRY(const GgufSource file, open_gguf(path));
    LH_TRY(const Kind kind, kind_of(file.metadata(), path));
    std::string what = not_a_model(kind);
    if (what.empty() && !find_gguf_reading(kind.architecture, path).ok())
      what = fmt::format("general.architecture '{}'", printable(kind.architecture));
    what.empty() ? models.push_back(name)
                 : others.push_back(fmt::format("{} ({})", printable(name), what));
  }
  if (models.size() > 1)
    return invalid("{}: holds several models; give one of its files: {}", folder,
                   printable(fmt::format("{}", fmt::join(models, ", "))));
  if (models.empty() && !others.empty())
    return unsupported(
        "{}: no model that is read here among its GGUF files: {}; get the model's "
        "file",
        folder, fmt::join(others, ", "));
  if (models.empty()) return std::optional<std::string>();
  if (!others.empty()) notice("{}: left out: {}", folder, fmt::join(others, ", "));
  return std::optional((fs::path(folder) / models.front()).string());
}

Result<std::unique_ptr<const ModelFiles>> open_gguf_model(const std::string& path) {
  LH_TRY(GgufSource file, open_gguf(path));
  LH_TRY(const GgufReading* reading, find_reading(file, path));
  LH_TRY(Json config, reading->config(file, path));
  std::unique_ptr<const ModelFiles> files = std::make_unique<GgufModel>(
      path, std::move(file), *reading, ModelConfig{std::move(config), path, name_of(path)});
  return files;
}

}  // namespace longhaul
