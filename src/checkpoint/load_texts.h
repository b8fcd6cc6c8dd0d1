// What a model's texts say, read: tokenizer, defaults for generating, fixed texts of its prompts.
#pragma once

#include <optional>

#include "checkpoint/model_files.h"
#include "formats/generation_config.h"
#include "text/chat/dsml_prose.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {

// Nothing where the model has none. max_ids: as many ids as the model knows.
Result<std::optional<Tokenizer>> load_tokenizer(const ModelFiles& files, int64_t max_ids);

// What the model recommends, with its config for what that leaves out.
//   config  the model's, with the fields changed that were asked for
Result<GenerationDefaults> load_generation_defaults(const ModelFiles& files, const Json& config);

// An error where the model has none: they are needed only for some prompts.
Result<DsmlProse> load_dsml_prose(const ModelFiles& files);

}  // namespace longhaul
