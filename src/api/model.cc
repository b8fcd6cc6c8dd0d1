#include <algorithm>
#include <filesystem>

#include "api/model_impl.h"
#include "base/notice.h"
#include "base/printable.h"
#include "base/system.h"
#include "checkpoint/compute_dtype.h"
#include "checkpoint/find_model.h"
#include "checkpoint/load_texts.h"
#include "cost/report.h"
#include "longhaul/units.h"

namespace longhaul {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kDefaultContext = 4096;

// Rows of logits at a time: one per sequence to generate; when all are wanted, as many as a few
// tens of megabytes hold.
int64_t logit_rows(const LoadOptions& options, int64_t vocab_size) {
  if (!options.all_logits) return options.sequences;
  return std::clamp<int64_t>((int64_t{1} << 23) / vocab_size, options.sequences, 64);
}

Result<StepLimits> step_limits(const LoadOptions& options, int64_t vocab_size, int64_t context) {
  StepLimits limits;
  if (options.chunk < 1 || options.sequences < 1)
    return invalid("chunk and sequences must be at least 1");
  limits.max_sequences = options.sequences;
  limits.max_rows = std::max(std::min(options.chunk, context), options.sequences);
  limits.max_logit_rows = logit_rows(options, vocab_size);
  limits.n_threads = options.threads > 0 ? std::min(options.threads, 1024) : default_thread_count();
  LH_TRY(limits.kv, state_format(options.kv));
  return limits;
}

Status refuse_what_does_not_fit(const Architecture& arch, const Plan& plan,
                                const PlanRequest& request) {
  if (plan.total_bytes <= *request.memory) return {};
  return make_error(ErrorCode::kOverBudget,
                    "{} with {} tokens of context needs {} bytes, {} are available; the largest "
                    "context that fits is {}; try a smaller "
                    "--context{}{}\n{}",
                    arch.name.empty() ? "the model" : arch.name, request.context, plan.total_bytes,
                    *request.memory, plan.max_context.value_or(0),
                    request.weights == WeightFormat::kF32 ? " or --weights bf16" : "",
                    plan.n_experts > 0 && !plan.expert_cache
                        ? " or leave experts in their files with --expert-cache SIZE"
                        : "",
                    plan_report(arch, plan, request));
}

Status load_text_files(Model::Impl& m) {
  LH_TRY(const Json tokenizer_config, m.files->read_json(TextKind::kTokenizerConfig));
  LH_TRY(m.tokenizer, load_tokenizer(*m.files, m.arch.vocab_size));
  LH_TRY(m.special_tokens, load_special_tokens(*m.files, tokenizer_config));
  LH_TRY(m.templates, load_chat_templates(*m.files, tokenizer_config));
  if (m.templates.empty() && m.tokenizer && DsmlEncoder::fits(*m.tokenizer))
    m.dsml.emplace(load_dsml_prose(*m.files));
  return {};
}

}  // namespace

bool Model::Impl::is_stop_token(int32_t token) const {
  return std::find(defaults.eos_token_ids.begin(), defaults.eos_token_ids.end(), token) !=
         defaults.eos_token_ids.end();
}

Status Model::Impl::refuse_own_file(const std::string& path) const {
  std::vector<fs::path> own;
  for (const auto& file : weights->source->tensors().files()) own.emplace_back(file->path());
  for (const std::string& file : files->text_files()) own.emplace_back(file);
  const bool is_own = std::any_of(own.begin(), own.end(), [&](const fs::path& file) {
    std::error_code ignored;
    return fs::equivalent(file, path, ignored);
  });
  return is_own ? invalid("{}: is a file of the model; write to another place", printable(path))
                : Status();
}

static void tell_of_long_context(const Architecture& arch, int64_t context) {
  if (context <= arch.max_positions) return;
  notice(
      "a context of {} tokens is beyond the {} positions the model was made for; what it writes "
      "there may be poor",
      format_exact(static_cast<uint64_t>(context)),
      format_exact(static_cast<uint64_t>(arch.max_positions)));
}

Result<Model> Model::load(const std::string& folder, const LoadOptions& options) {
  const double start = now_seconds();
  auto m = std::make_unique<Impl>();
  m->folder = folder;
  LH_RETURN_IF_ERROR(refuse_bundled_name(folder));
  LH_TRY(OpenedModel opened, open_model(folder, config_request(options)));
  m->files = std::move(opened.files);
  m->arch = std::move(opened.arch);
  LH_TRY(m->defaults, load_generation_defaults(*m->files, opened.config));
  m->context =
      options.context > 0 ? options.context : std::min(kDefaultContext, m->arch.max_positions);
  LH_TRY(m->limits, step_limits(options, m->arch.vocab_size, m->context));
  LH_TRY(m->limits.weights, opened.weights->formats().choose(options.weights, folder));

  const PlanRequest request{
      .context = m->context,
      .batch = options.sequences,
      .weights = m->limits.weights,
      .kv = m->limits.kv,
      .chunk = m->limits.max_rows,
      .logit_rows = m->limits.max_logit_rows,
      .n_threads = m->limits.n_threads,
      .memory = options.memory_limit > 0 ? options.memory_limit : available_memory_bytes(),
      .expert_cache = options.expert_cache};
  LH_TRY(m->plan, make_plan(m->arch, request));
  LH_RETURN_IF_ERROR(refuse_what_does_not_fit(m->arch, m->plan, request));
  LH_RETURN_IF_ERROR(load_text_files(*m));
  LH_TRY(m->kernels, choose_kernels());
  m->pool = std::make_unique<ThreadPool>(m->limits.n_threads);
  const auto progress = [&](uint64_t done, uint64_t total) {
    if (options.progress)
      options.progress("loading weights",
                       total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total));
  };
  LH_TRY(m->weights, load_weights(m->arch, std::move(opened.weights), m->limits.weights, *m->pool,
                                  progress, m->plan.expert_cache));
  LH_TRY(Executor executor,
         Executor::create(m->arch, m->weights->weights, *m->kernels, *m->pool, m->limits,
                          {.skip_unneeded_rows = options.skip_unneeded_rows}));
  m->executor = std::make_unique<Executor>(std::move(executor));

  Stats& s = m->load_stats;
  s.load_seconds = now_seconds() - start;
  s.weight_bytes_resident = m->weights->resident_bytes();
  s.weight_bytes_mapped = m->weights->mapped_bytes;
  s.scratch_bytes = m->executor->scratch_bytes();
  s.planned_state_bytes = m->plan.state_bytes;
  s.planned_weight_bytes = m->plan.weight_bytes;
  s.planned_scratch_bytes = m->plan.scratch_bytes;
  s.planned_total_bytes = m->plan.total_bytes;
  tell_of_long_context(m->arch, m->context);  // last: an error stands alone
  return Model(std::move(m));
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model::~Model() = default;
const std::string& Model::name() const { return impl_->arch.name; }
int64_t Model::vocab_size() const { return impl_->arch.vocab_size; }
int64_t Model::context() const { return impl_->context; }
bool Model::has_tokenizer() const { return impl_->tokenizer.has_value(); }
bool Model::has_chat_format() const { return !impl_->templates.empty() || impl_->dsml; }
Stats Model::load_stats() const { return impl_->load_stats; }

SamplingOptions Model::default_sampling() const {
  const GenerationDefaults& d = impl_->defaults;
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
  const GenerationDefaults& d = impl_->defaults;
  int64_t n = d.max_new_tokens.value_or(otherwise);
  if (!d.max_new_tokens && d.max_length) n = std::min(n, *d.max_length - n_prompt_tokens);
  return std::max<int64_t>(n, 1);
}

const std::vector<std::string>& Model::generation_notes() const { return impl_->defaults.notes; }

static Error no_tokenizer(const std::string& folder) {
  return make_error(ErrorCode::kNotFound,
                    "{}: no tokenizer.json, so text cannot be read or written; `longhaul logits` "
                    "works on token ids",
                    folder);
}

Result<std::vector<int32_t>> Model::encode(std::string_view text, bool with_bos) const {
  if (!impl_->tokenizer) return no_tokenizer(impl_->folder);
  LH_TRY(std::vector<int32_t> ids,
         impl_->tokenizer->encode(text, /*parse_special=*/true, /*add_special_tokens=*/with_bos));
  const auto bos = impl_->defaults.bos_token_id;
  if (with_bos && impl_->arch.requires_bos && bos && (ids.empty() || ids.front() != *bos))
    ids.insert(ids.begin(), *bos);
  for (int32_t id : ids) {
    if (id >= impl_->arch.vocab_size) {
      return corrupt(
          "{}/tokenizer.json: gives token id {}, the model's vocabulary ends at {}; get the "
          "tokenizer that belongs to the model",
          impl_->folder, id, impl_->arch.vocab_size);
    }
  }
  return ids;
}

Result<std::string> Model::decode(const std::vector<int32_t>& tokens) const {
  if (!impl_->tokenizer) return no_tokenizer(impl_->folder);
  return impl_->tokenizer->decode(tokens, /*skip_special=*/true);
}

}  // namespace longhaul
