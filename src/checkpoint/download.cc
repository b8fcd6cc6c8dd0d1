#include "checkpoint/download.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <span>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/printable.h"
#include "formats/config_reader.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/safetensors_index.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTextBytes = size_t{100} << 20;

// Small JSON files that are read when a model is loaded.
constexpr std::array<std::string_view, 6> kTexts = {
    "config.json",           "generation_config.json",
    "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.json",    kSafetensorsIndex};

bool is_weights(std::string_view name) {
  return name.ends_with(".safetensors") || name.ends_with(".gguf");
}
bool is_text(std::string_view name) {
  return std::find(kTexts.begin(), kTexts.end(), name) != kTexts.end();
}

// What a file of this name ought to be.
std::string_view expected(std::string_view name) {
  if (name.ends_with(".safetensors")) return "safetensors";
  if (name.ends_with(".gguf")) return "GGUF";
  return "JSON";
}

std::optional<Error> wrong_nature(const SurveyedFile& file) {
  const bool is_json = file.name.ends_with(".json");
  if (!is_weights(file.name) && !is_json && file.nature != FileNature::kUnfinished)
    return std::nullopt;
  const std::string_view remedy = remedy_of(file.nature);
  if (!remedy.empty()) {
    Error error{ErrorCode::kCorruptFile,
                fmt::format("{}: {}, {} bytes", file.path, to_string(file.nature), file.bytes),
                std::string(remedy)};
    if (file.nature != FileNature::kUnfinished)
      error.message += fmt::format(", in the place of {}", expected(file.name));
    return error;
  }
  const bool is_misnamed =
      (file.nature == FileNature::kGguf && file.name.ends_with(".safetensors")) ||
      (file.nature == FileNature::kSafetensors && file.name.ends_with(".gguf"));
  if (!is_misnamed) return std::nullopt;
  return corrupt("{}: holds {}, not {}; give it a name that ends in .{}", file.path,
                 to_string(file.nature), expected(file.name),
                 file.nature == FileNature::kGguf ? "gguf" : "safetensors");
}

Status read_safetensors(SurveyedFile& file) {
  LH_TRY(const MappedFile mapped, MappedFile::open(file.path));
  LH_TRY(const SafetensorsHeader header, parse_safetensors_header(mapped.bytes(), file.path));
  for (const TensorInfo& t : header.tensors)
    file.tensors.push_back({t.name, to_string(t.dtype), t.shape, t.bytes.size()});
  return {};
}

Status read_gguf(SurveyedFile& file) {
  LH_TRY(const MappedFile mapped, MappedFile::open(file.path));
  LH_TRY(const GgufHeader header, parse_gguf_header(mapped.bytes(), file.path));
  for (const GgufTensor& t : header.tensors)
    file.tensors.push_back({std::string(t.name),
                            info_of(t.type).name,
                            {t.shape().begin(), t.shape().end()},
                            t.bytes.size()});
  for (const GgufKeyValue& entry : header.metadata.values) {
    const auto text = entry.value.as_string();
    if (text && entry.key.starts_with("general."))
      file.says.emplace_back(std::string(entry.key), printable(*text));
  }
  return {};
}

Status read_text(const SurveyedFile& file) {
  LH_TRY(const std::string text, read_file(file.path, kMaxTextBytes));
  if (file.name == kSafetensorsIndex) {
    LH_RETURN_IF_ERROR(parse_safetensors_index(text, file.path));
    return {};
  }
  return or_remedy(
      [&]() -> Status {
        LH_RETURN_IF_ERROR(parse_json(text, file.path));
        return {};
      }(),
      "download the file again");
}

Status read_contents(SurveyedFile& file) {
  if (file.name.ends_with(".safetensors")) return read_safetensors(file);
  if (file.name.ends_with(".gguf") || file.nature == FileNature::kGguf) return read_gguf(file);
  return is_text(file.name) ? read_text(file) : Status();
}

// In a Hugging Face cache files are links to blobs, which are there once they are whole.
Error dangling(const fs::path& path) {
  std::error_code ignored;
  return make_error(ErrorCode::kNotFound,
                    "{}: a link to {}, which is not there; download the file again", path.string(),
                    printable(fs::read_symlink(path, ignored).string()));
}

// As far as it can be read.
std::string beginning(const fs::path& path) {
  std::string bytes(kNatureBytes, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(0, file.gcount())));
  return bytes;
}

std::optional<SurveyedFile> survey_file(const fs::path& path) {
  SurveyedFile file{.name = path.filename().string(), .path = path.string()};
  std::error_code failed;
  if (fs::is_symlink(path, failed) && !fs::exists(path, failed)) {
    file.problem = dangling(path);
    return file;
  }
  if (!fs::is_regular_file(path, failed)) return std::nullopt;
  file.bytes = fs::file_size(path, failed);
  const std::string begin = beginning(path);
  file.nature = nature_of(file.name, std::as_bytes(std::span(begin)), file.bytes);
  file.problem = wrong_nature(file);
  if (file.problem) return file;
  if (Status status = read_contents(file); !status.ok()) file.problem = status.take_error();
  return file;
}

void add_folder(const fs::path& folder, bool only_unfinished, std::vector<SurveyedFile>& files) {
  std::error_code failed;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    std::optional<SurveyedFile> file = survey_file(it->path());
    if (file && (!only_unfinished || file->nature == FileNature::kUnfinished))
      files.push_back(std::move(*file));
  }
}

// Parts of a split file stand beside it.
void add_parts(const fs::path& path, std::vector<SurveyedFile>& files) {
  const auto first = first_gguf_part(path.filename().string());
  std::error_code failed;
  if (!first) return;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    const fs::path& other = it->path();
    if (other.filename() == path.filename() || first_gguf_part(other.filename().string()) != first)
      continue;
    if (auto file = survey_file(other)) files.push_back(std::move(*file));
  }
}

}  // namespace

uint64_t ListedTensor::elements() const {
  uint64_t n = 1;
  for (const int64_t extent : shape) n *= static_cast<uint64_t>(extent);
  return n;
}

std::vector<SurveyedFile> survey_download(const std::string& path) {
  std::vector<SurveyedFile> files;
  std::error_code failed;
  const fs::path given(path);
  if (fs::is_directory(given, failed)) {
    add_folder(given, false, files);
    add_folder(given / ".cache" / "huggingface" / "download", true, files);
    if (fs::canonical(given, failed).parent_path().filename() == "snapshots")
      add_folder(fs::canonical(given, failed).parent_path().parent_path() / "blobs", true, files);
  } else if (auto file = survey_file(given)) {
    files.push_back(std::move(*file));
    add_parts(given, files);
  }
  std::sort(files.begin(), files.end(),
            [](const SurveyedFile& a, const SurveyedFile& b) { return a.name < b.name; });
  return files;
}

}  // namespace longhaul
