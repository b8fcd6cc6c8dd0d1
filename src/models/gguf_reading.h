// How a family's models stand in GGUF files. Metadata becomes the config.json that describes the
// same model, and tensors get the names that they have in that checkpoint; everything behind is the
// reader of folders.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/errors.h"
#include "base/json.h"
#include "formats/gguf.h"
#include "formats/gguf_tokenizer.h"

namespace longhaul {

struct GgufReading {
  std::string architecture;  // general.architecture
  // `where` names the file in messages. Reads tensors as well where they say more than the keys.
  Result<Json> (*config)(const GgufSource& file, const std::string& where);
  // The name in the checkpoint that config() describes. Empty: config() has read what the tensor
  // says. Nothing: it is not known, and keeps its name.
  std::optional<std::string> (*tensor_name)(std::string_view name, const GgufSource& file);
  GgufTokenRules tokens = {};
};

}  // namespace longhaul
