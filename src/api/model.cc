#include "longhaul/model.h"

#include <algorithm>

#include "api/access.h"
#include "api/model_parts.h"
#include "base/notice.h"
#include "base/system.h"
#include "checkpoint/load_texts.h"

namespace longhaul {
namespace {

Status load_text_files(const OpenedModel& opened, ModelParts& m) {
  const ModelFiles& files = *opened.files;
  LH_TRY(m.defaults, load_generation_defaults(files, opened.config));
  LH_TRY(const Json tokenizer_config, files.read_json(TextKind::kTokenizerConfig));
  LH_TRY(m.tokenizer, load_tokenizer(files, opened.arch.vocab_size));
  LH_TRY(m.special_tokens, load_special_tokens(files, tokenizer_config));
  LH_TRY(m.templates, load_chat_templates(files, tokenizer_config));
  if (m.templates.empty() && m.tokenizer && DsmlEncoder::fits(*m.tokenizer))
    m.dsml.emplace(load_dsml_prose(files));
  return {};
}

ModelInfo info_of(const ModelParts& m) {
  const Architecture& arch = *m.loaded.arch;
  return {.name = arch.name,
          .family = arch.family,
          .vocab_size = arch.vocab_size,
          .hidden_size = arch.hidden_size,
          .n_layers = arch.n_layers,
          .max_positions = arch.max_positions,
          .context = m.loaded.context,
          .max_batch_sequences = m.loaded.limits.max_sequences,
          .stop_tokens = m.defaults.eos_token_ids,
          .has_tokenizer = m.tokenizer.has_value(),
          .has_chat_format = !m.templates.empty() || m.dsml.has_value()};
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::load(const std::string& folder,
                                                 const LoadOptions& options) {
  const double start = now_seconds();
  const NoticeScope notices(options.on_notice);
  auto m = std::make_unique<ModelParts>();
  LH_TRY(PricedModel priced, open_and_price(folder, options));
  LH_RETURN_IF_ERROR(load_text_files(priced.opened, *m));
  LH_TRY(m->loaded, LoadedModel::load(std::move(priced), options));
  m->info = info_of(*m);
  m->load_stats = {.seconds = now_seconds() - start,
                   .weight_bytes_resident = m->loaded.weights->resident_bytes(),
                   .weight_bytes_mapped = m->loaded.weights->mapped_bytes,
                   .scratch_bytes = m->loaded.executor->scratch_bytes()};
  return Access::model(std::move(m));
}

std::shared_ptr<const Model> Access::model(std::unique_ptr<ModelParts> parts) {
  return std::shared_ptr<const Model>(new Model(std::move(parts)));
}

Model::Model(std::unique_ptr<ModelParts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;
const ModelInfo& Model::info() const { return parts_->info; }
const Plan& Model::plan() const { return parts_->loaded.plan; }
const LoadStats& Model::load_stats() const { return parts_->load_stats; }
bool Model::owns_file(const std::string& path) const { return parts_->loaded.owns_file(path); }

WorkStats Model::work_stats() const {
  const LoadedModel& m = parts_->loaded;
  const std::lock_guard lock(*m.turn);
  WorkStats stats{.flops = m.executor->flops()};
  if (m.weights->experts) stats.experts = m.weights->experts->stats();
  return stats;
}

int64_t Model::tokens_that_fit(int64_t max_tokens) const {
  const LoadedModel& m = parts_->loaded;
  const int64_t most = max_tokens > 0 ? std::min(max_tokens, m.context) : m.context;
  return longhaul::tokens_that_fit(*m.arch, m.limits.kv, most, m.state_memory.free_bytes());
}

SamplingOptions Model::default_sampling() const {
  const GenerationDefaults& d = parts_->defaults;
  SamplingOptions s;
  // A checkpoint that says nothing, or asks for no sampling, is decoded greedily.
  s.temperature = d.do_sample.value_or(false) ? d.temperature.value_or(1.0) : 0.0;
  s.top_k = d.top_k.value_or(0);
  s.top_p = d.top_p.value_or(1.0);
  s.min_p = d.min_p.value_or(0.0);
  s.top_h = d.top_h.value_or(1.0);
  s.typical_p = d.typical_p.value_or(1.0);
  s.epsilon_cutoff = d.epsilon_cutoff.value_or(0.0);
  s.eta_cutoff = d.eta_cutoff.value_or(0.0);
  s.repetition_penalty = d.repetition_penalty.value_or(1.0);
  s.no_repeat_ngram_size = d.no_repeat_ngram_size.value_or(0);
  return s;
}

int64_t Model::default_max_tokens(int64_t n_prompt_tokens, int64_t otherwise) const {
  const GenerationDefaults& d = parts_->defaults;
  int64_t n = d.max_new_tokens.value_or(otherwise);
  if (!d.max_new_tokens && d.max_length) n = std::min(n, *d.max_length - n_prompt_tokens);
  return std::max<int64_t>(n, 1);
}

const std::vector<std::string>& Model::generation_notes() const { return parts_->defaults.notes; }

static Error no_tokenizer(const std::string& folder) {
  return make_error(ErrorCode::kNotFound,
                    "{}: no tokenizer.json, so text cannot be read or written; `longhaul logits` "
                    "works on token ids",
                    folder);
}

Result<std::vector<int32_t>> Model::encode(std::string_view text, bool with_bos) const {
  if (!parts_->tokenizer) return no_tokenizer(parts_->loaded.folder);
  LH_TRY(std::vector<int32_t> ids,
         parts_->tokenizer->encode(text, /*parse_special=*/true, /*add_special_tokens=*/with_bos));
  const auto bos = parts_->defaults.bos_token_id;
  if (with_bos && parts_->loaded.arch->requires_bos && bos && (ids.empty() || ids.front() != *bos))
    ids.insert(ids.begin(), *bos);
  for (int32_t id : ids) {
    if (id >= parts_->loaded.arch->vocab_size) {
      return corrupt(
          "{}/tokenizer.json: gives token id {}, the model's vocabulary ends at {}; get the "
          "tokenizer that belongs to the model",
          parts_->loaded.folder, id, parts_->loaded.arch->vocab_size);
    }
  }
  return ids;
}

Result<std::string> Model::decode(std::span<const int32_t> tokens) const {
  if (!parts_->tokenizer) return no_tokenizer(parts_->loaded.folder);
  LH_RETURN_IF_ERROR(parts_->loaded.check_tokens(tokens));
  return parts_->tokenizer->decode(tokens, /*skip_special=*/true);
}

}  // namespace longhaul
