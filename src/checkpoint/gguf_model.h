// A model in a GGUF file, split or whole, as the model's files: its metadata becomes the config and
// the texts of a folder, its tensors get the names that they have in one.
//
// What lies beside the file counts before what it holds: tokenizer.json and chat_template.jinja.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/errors.h"
#include "checkpoint/model_files.h"
#include "formats/gguf.h"
#include "models/gguf_reading.h"

namespace longhaul {

// Whether `path` is a file that begins as GGUF files do.
bool is_gguf(const std::string& path);

// The file that holds the one model of a folder, the first part of a split one; nothing where the
// folder has no GGUF file. Several models, and files that hold none, are errors that list them;
// what lies beside the model (towers, draft models) is told in a notice.
Result<std::optional<std::string>> find_gguf(const std::string& folder);

// How the model of a file is read; an error where it holds none, or one that is not known.
Result<const GgufReading*> find_reading(const GgufSource& file, const std::string& where);
// The tensors under the names that the config's checkpoint has for them.
Result<std::vector<TensorInfo>> tensors_of(const GgufSource& file, const GgufReading& reading);

// A file, or any part of a split one.
Result<std::unique_ptr<const ModelFiles>> open_gguf_model(const std::string& path);

}  // namespace longhaul
