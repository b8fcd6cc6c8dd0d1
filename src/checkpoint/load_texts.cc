#include "checkpoint/load_texts.h"

namespace longhaul {

Result<std::optional<Tokenizer>> load_tokenizer(const ModelFiles& files, int64_t max_ids) {
  LH_TRY(const std::optional<std::string> text, files.read(TextKind::kTokenizer));
  if (!text) return std::optional<Tokenizer>();
  LH_TRY(Tokenizer tokenizer, Tokenizer::parse(*text, files.where(TextKind::kTokenizer), max_ids));
  return std::optional(std::move(tokenizer));
}

Result<GenerationDefaults> load_generation_defaults(const ModelFiles& files, const Json& config) {
  const std::string where = files.where(TextKind::kGenerationConfig);
  LH_TRY(const std::optional<std::string> text, files.read(TextKind::kGenerationConfig));
  if (!text) return parse_generation_defaults(nullptr, where, config, files.config().where);
  LH_TRY(const Json own, parse_json(*text, where));
  return parse_generation_defaults(&own, where, config, files.config().where);
}

Result<DsmlProse> load_dsml_prose(const ModelFiles& files) {
  LH_TRY(const std::optional<std::string> text, files.read(TextKind::kDsmlProse));
  const std::string where = files.where(TextKind::kDsmlProse);
  if (text) return DsmlProse::parse(*text, where);
  return make_error(ErrorCode::kNotFound,
                    "tools, a response format and the longest reasoning need fixed texts, and "
                    "there is no {}; get it with the checkpoint",
                    where);
}

}  // namespace longhaul
