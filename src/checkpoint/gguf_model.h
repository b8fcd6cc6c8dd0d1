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

namespace longhaul {

// Whether `path` is a file that begins as GGUF files do.
bool is_gguf(const std::string& path);

// The file that holds the one model of a folder, the first part of a split one; nothing where the
// folder has no GGUF file. Several models, and files that hold none, are errors that list them;
// what lies beside the model (towers, draft models) is told in a notice.
Result<std::optional<std::string>> find_gguf(const std::string& folder);

// A file, or any part of a split one.
Result<std::unique_ptr<const ModelFiles>> open_gguf_model(const std::string& path);

}  // namespace longhaul
