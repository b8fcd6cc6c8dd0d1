// What stands behind the public Model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/loaded_model.h"
#include "checkpoint/template_files.h"
#include "formats/generation_config.h"
#include "generate/answer.h"
#include "longhaul/model.h"
#include "text/chat/dsml_encoder.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {

struct ModelParts {
  LoadedModel loaded;
  std::optional<Tokenizer> tokenizer;
  ChatTemplates templates;
  Json special_tokens;  // bos_token and others, for templates
  // where there is no template and the tokenizer has the format's tokens
  std::optional<DsmlEncoder> dsml;
  GenerationDefaults defaults;
  ModelInfo info;
  LoadStats load_stats;

  AnswerModel answer_model() const {
    return {loaded.folder, loaded.vocab_size(), &defaults, tokenizer ? &*tokenizer : nullptr};
  }
};

}  // namespace longhaul
