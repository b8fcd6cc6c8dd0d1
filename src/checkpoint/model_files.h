// What a model is made of, wherever it is kept: config, tensors and texts. A folder as Hugging Face
// lays it out, whose names this file's .cc alone knows, or a GGUF file (gguf_model.h).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/json.h"
#include "formats/tensor_source.h"

namespace longhaul {

enum class TextKind {
  kTokenizer,         // tokenizer.json
  kTokenizerConfig,   // tokenizer_config.json
  kSpecialTokens,     // special_tokens_map.json
  kGenerationConfig,  // generation_config.json
  kChatTemplate,      // a Jinja template
  kChatTemplateJson,  // templates that processors of images brought in
  kProcessorConfig,
  kDsmlProse,     // the Python file with the fixed texts of the DSML format
  kQuantisation,  // what ModelOpt says of quantised tensors, beside the config
};

struct ModelConfig {
  Json config;
  std::string where;  // for messages
  std::string name;   // for people
};

// Immutable; any number of threads.
class ModelFiles {
 public:
  virtual ~ModelFiles() = default;

  const ModelConfig& config() const { return config_; }
  // Reads the headers of the weights' files, each time anew.
  virtual Result<TensorSource> open_tensors() const = 0;

  // A text, read when asked for. Nothing where the model has none of this kind.
  virtual Result<std::optional<std::string>> read(TextKind kind) const = 0;
  // A JSON text; null where the model has none of this kind.
  Result<Json> read_json(TextKind kind) const;
  // Names the text in messages, whether it is there or not.
  virtual std::string where(TextKind kind) const = 0;
  // Templates beside the main one, by name.
  virtual Result<std::map<std::string, std::string>> named_templates() const = 0;
  virtual std::string where_named_templates() const = 0;

  // The files that config and texts are read from: no place for an output.
  virtual std::vector<std::string> text_files() const = 0;
  // Copies all texts into another folder, where they are found as here.
  virtual Status copy_texts(const std::string& folder) const = 0;

 protected:
  explicit ModelFiles(ModelConfig config) : config_(std::move(config)) {}

 private:
  ModelConfig config_;
};

// Reads the config. An error says what to give instead of a path that is no model.
Result<std::unique_ptr<const ModelFiles>> open_model_files(const std::string& path);
// The config alone, of a model or of a config.json; nothing where `path` is neither.
Result<std::optional<ModelConfig>> find_model_config(const std::string& path);
// Whether there are files of weights.
bool has_weights(const std::string& path);
// Completes a model's folder that is being written.
Status write_model_config(const std::string& folder, const Json& config);

}  // namespace longhaul
