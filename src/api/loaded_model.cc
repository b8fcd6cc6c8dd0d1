#include "api/loaded_model.h"

#include <algorithm>
#include <filesystem>

#include "api/precision.h"
#include "base/notice.h"
#include "base/system.h"
#include "checkpoint/find_model.h"
#include "cost/report.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDefaultContext = 4096;

// Rows of logits at a time: one per sequence to generate; when all are wanted, as many as a few
// tens of megabytes hold.
int64_t logit_rows(const LoadOptions& options, int64_t vocab_size) {
  if (!options.all_logits) return options.max_batch_sequences;
  return std::clamp<int64_t>((int64_t{1} << 23) / vocab_size, options.max_batch_sequences,
                             std::max<int64_t>(64, options.max_batch_sequences));
}

Result<StepLimits> step_limits(const LoadOptions& options, int64_t vocab_size, int64_t context) {
  StepLimits limits;
  if (options.max_batch_tokens < 1 || options.max_batch_sequences < 1)
    return invalid("chunk and sequences must be at least 1");
  limits.max_sequences = options.max_batch_sequences;
  limits.max_rows =
      std::max(std::min(options.max_batch_tokens, context), options.max_batch_sequences);
  limits.max_logit_rows = logit_rows(options, vocab_size);
  limits.n_threads = options.threads > 0 ? std::min(options.threads, 1024) : default_thread_count();
  limits.kv = state_format_of(options.kv);
  return limits;
}

void tell_of_long_context(const Architecture& arch, int64_t context) {
  if (context <= arch.max_positions) return;
  notice(
      "a context of {} tokens is beyond the {} positions the model was made for; what it writes "
      "there may be poor",
      format_exact(static_cast<uint64_t>(context)),
      format_exact(static_cast<uint64_t>(arch.max_positions)));
}

}  // namespace

Result<PricedModel> price(const std::string& folder, OpenedModel opened,
                          const LoadOptions& options) {
  const Architecture& arch = opened.arch;
  const int64_t context =
      options.context > 0 ? options.context : std::min(kDefaultContext, arch.max_positions);
  LH_TRY(StepLimits limits, step_limits(options, arch.vocab_size, context));
  LH_TRY(const WeightFormat weights,
         opened.weights->formats().choose(to_string(options.weights), folder));
  limits.weights = with_inputs(weights, options.inputs);
  PlanRequest request{
      .context = context,
      .batch = options.max_batch_sequences,
      .weights = limits.weights,
      .kv = limits.kv,
      .chunk = limits.max_rows,
      .logit_rows = limits.max_logit_rows,
      .n_threads = limits.n_threads,
      .memory = options.memory_limit > 0 ? options.memory_limit : available_memory_bytes(),
      .expert_cache = options.expert_cache};
  LH_TRY(Plan plan, make_plan(arch, request));
  return PricedModel{folder, std::move(opened),  context,
                     limits, std::move(request), std::move(plan)};
}

Status check_fits(const PricedModel& model) {
  const Plan& plan = model.plan;
  const PlanRequest& request = model.request;
  const Architecture& arch = model.opened.arch;
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

Result<PricedModel> open_and_price(const std::string& folder, const LoadOptions& options) {
  LH_RETURN_IF_ERROR(refuse_bundled_name(folder));
  LH_TRY(OpenedModel opened, open_model(folder, config_request(options.config)));
  LH_TRY(PricedModel priced, price(folder, std::move(opened), options));
  LH_RETURN_IF_ERROR(check_fits(priced));
  return priced;
}

Result<LoadedModel> LoadedModel::load(PricedModel priced, const LoadOptions& options,
                                      ExecutorOptions executor_options) {
  LoadedModel m;
  m.folder = std::move(priced.folder);
  m.files = std::move(priced.opened.files);
  m.config = std::move(priced.opened.config);
  m.adapter = std::move(priced.opened.adapter);
  m.arch = std::make_unique<const Architecture>(std::move(priced.opened.arch));
  m.context = priced.context;
  m.limits = priced.limits;
  m.plan = std::move(priced.plan);
  if (options.session_memory > 0) m.state_memory = PagePool(options.session_memory);
  LH_TRY(m.kernels, choose_kernels());
  m.pool = std::make_unique<ThreadPool>(m.limits.n_threads);
  const auto progress = [&](uint64_t done, uint64_t total) {
    if (!options.on_progress) return;
    options.on_progress("loading weights",
                        total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total));
  };
  LH_TRY(m.weights, load_weights(*m.arch, std::move(priced.opened.weights), m.limits.weights,
                                 *m.pool, progress, m.plan.expert_cache));
  LH_TRY(Executor executor, Executor::create(*m.arch, m.weights->weights, *m.kernels, *m.pool,
                                             m.limits, executor_options));
  m.executor = std::make_unique<Executor>(std::move(executor));
  tell_of_long_context(*m.arch, m.context);  // last: an error stands alone
  return m;
}

Result<LoadedModel> LoadedModel::load(const std::string& folder, const LoadOptions& options,
                                      ExecutorOptions executor_options) {
  LH_TRY(PricedModel priced, open_and_price(folder, options));
  return load(std::move(priced), options, executor_options);
}

Status LoadedModel::check_tokens(std::span<const int32_t> tokens) const {
  for (const int32_t t : tokens) {
    if (t >= 0 && t < vocab_size()) continue;
    return invalid("token id {} is outside of the vocabulary of {}: expected 0 to {}", t,
                   vocab_size(), vocab_size() - 1);
  }
  return {};
}

Result<Sequence> LoadedModel::new_sequence(int64_t max_tokens) const {
  return Sequence::create(*arch, limits.kv, max_tokens, state_memory);
}

Status LoadedModel::step(Executor& on, std::span<const SequenceInput> inputs,
                         const LogitsSink& sink) const {
  const std::lock_guard lock(*turn);
  const Status status = on.step(inputs, sink);
  LH_RETURN_IF_ERROR(weights->check_files());
  size_t n_rows = 0;
  for (const SequenceInput& input : inputs) n_rows += input.tokens.size();
  weights->rows_read(static_cast<int64_t>(n_rows));
  return status.ok() ? on.commit() : status;
}

bool LoadedModel::owns_file(const std::string& path) const {
  std::vector<fs::path> own;
  for (const auto& file : weights->source->tensors().files()) own.emplace_back(file->path());
  for (const std::string& file : files->text_files()) own.emplace_back(file);
  return std::any_of(own.begin(), own.end(), [&](const fs::path& file) {
    std::error_code ignored;
    return fs::equivalent(file, path, ignored);
  });
}

}  // namespace longhaul
