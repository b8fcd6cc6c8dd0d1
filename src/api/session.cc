#include <algorithm>
#include <cmath>

#include "api/model_impl.h"
#include "base/system.h"
#include "checkpoint/compute_dtype.h"
#include "generate/sampler.h"
#include "generate/stop_text.h"

namespace longhaul {

const char* to_string(StopReason reason) {
  switch (reason) {
    case StopReason::kLength: return "length";
    case StopReason::kEndOfText: return "end_of_text";
    case StopReason::kStopString: return "stop_string";
    case StopReason::kContextFull: return "context_full";
    case StopReason::kCancelled: return "cancelled";
  }
  return "unknown";
}

static Status check_sampling(const SamplingOptions& s) {
  const auto within = [](double x, double low, double high) {
    return x >= low && x <= high;
  };  // false for NaN
  if (!within(s.temperature, 0, 1e3))
    return invalid("temperature must be from 0 to 1000, given {}", s.temperature);
  for (const auto& [name, value] : {std::pair{"top-h", s.top_h},
                                    {"typical-p", s.typical_p},
                                    {"the epsilon cutoff", s.epsilon_cutoff},
                                    {"the eta cutoff", s.eta_cutoff}}) {
    if (!within(value, 0, 1)) return invalid("{} must be from 0 to 1, given {}", name, value);
  }
  if (!within(s.top_p, 0, 1)) return invalid("top-p must be from 0 to 1, given {}", s.top_p);
  if (!within(s.min_p, 0, 1)) return invalid("min-p must be from 0 to 1, given {}", s.min_p);
  if (!within(s.repetition_penalty, 1e-3, 1e3))
    return invalid("the repetition penalty must be from 0.001 to 1000, given {}",
                   s.repetition_penalty);
  if (!within(s.presence_penalty, -1e3, 1e3))
    return invalid("the presence penalty must be from -1000 to 1000, given {}", s.presence_penalty);
  if (!within(s.frequency_penalty, -1e3, 1e3))
    return invalid("the frequency penalty must be from -1000 to 1000, given {}",
                   s.frequency_penalty);
  return {};
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session::~Session() = default;

Result<Session> Session::create(const Model& model) {
  Model::Impl& m = model.impl();
  LH_TRY(Sequence sequence, Sequence::create(m.arch, m.limits.kv, m.context));
  // All of it at once, as planned: nothing is allocated later, and pages that are never written
  // take no memory.
  LH_RETURN_IF_ERROR(sequence.reserve(m.context));
  return Session(std::make_unique<Impl>(Impl{&m, std::move(sequence), {}}));
}

Result<Session> Session::restore(const Model& model, const std::string& path) {
  Model::Impl& m = model.impl();
  LH_TRY(Sequence sequence, Sequence::restore(m.arch, path, m.context));
  if (sequence.format() != m.limits.kv) {
    return invalid(
        "{}: holds {} state, the model was loaded for {}; use the --kv it was saved with", path,
        state_format_name(sequence.format()), state_format_name(m.limits.kv));
  }
  LH_RETURN_IF_ERROR(sequence.reserve(std::min(m.context, sequence.max_tokens())));
  return Session(std::make_unique<Impl>(Impl{&m, std::move(sequence), {}}));
}

Result<Session> Session::fork() const {
  LH_TRY(Sequence copy, impl_->sequence.fork());
  return Session(std::make_unique<Impl>(Impl{impl_->model, std::move(copy), impl_->tokens}));
}

int64_t Session::length() const { return impl_->sequence.length(); }
uint64_t Session::state_bytes() const { return impl_->sequence.allocated_bytes(); }
Status Session::save(const std::string& path) const { return impl_->sequence.save(path); }

namespace {

// Where a file has become shorter that is the error, whatever else came of it.
Status step(Model::Impl& m, const SequenceInput& input, const LogitsSink& sink) {
  Status status = m.executor->step(std::span(&input, 1), sink);
  LH_RETURN_IF_ERROR(m.weights->check_files());
  m.weights->rows_read(static_cast<int64_t>(input.tokens.size()));
  return status.ok() ? m.executor->commit() : status;
}

Status check_tokens(const Model::Impl& m, std::span<const int32_t> tokens) {
  for (int32_t t : tokens) {
    if (t < 0 || t >= m.arch.vocab_size)
      return invalid("token id {} is outside of the vocabulary of {}: expected 0 to {}", t,
                     m.arch.vocab_size, m.arch.vocab_size - 1);
  }
  return {};
}

Error no_token(const Model::Impl& m, int32_t why, int64_t position) {
  if (why == Sampler::kAllRuledOut) {
    return invalid(
        "{}/generation_config.json: its rules leave no token after position {}; take a rule out of "
        "the file",
        m.folder, position);
  }
  return corrupt(
      "{}: no logit at position {} is a number; the checkpoint's weights are damaged or overflow",
      m.folder, position);
}

// Takes tokens in, chunk by chunk; `wanted` applies to the last chunk, the others want all or
// nothing.
Status take_in(Model::Impl& m, Sequence& sequence, std::span<const int32_t> tokens,
               LogitsWanted wanted, int64_t chunk, const LogitsSink& sink) {
  const int64_t most = chunk > 0 ? std::min(chunk, m.chunk()) : m.chunk();
  // Before the first chunk: a sink may look at tokens of later ones, and a bad one leaves the
  // sequence as it was.
  LH_RETURN_IF_ERROR(check_tokens(m, tokens));
  const int64_t text_length = sequence.length() + static_cast<int64_t>(tokens.size());
  LH_RETURN_IF_ERROR(sequence.reserve(text_length));
  while (!tokens.empty()) {
    const auto n = std::min(static_cast<size_t>(most), tokens.size());
    const bool last = n == tokens.size();
    const SequenceInput input{&sequence, tokens.first(n),
                              last || wanted == LogitsWanted::kAll ? wanted : LogitsWanted::kNone,
                              text_length};
    LH_RETURN_IF_ERROR(step(m, input, sink));
    tokens = tokens.subspan(n);
  }
  return {};
}

}  // namespace

Status Session::logits(const std::vector<int32_t>& tokens, const OnLogits& on_logits,
                       int64_t chunk) {
  const LogitsSink sink = [&](size_t, int64_t first, int64_t n, const float* logits) {
    return on_logits(first, n, logits);
  };
  const int64_t before = impl_->sequence.length();
  Status status = take_in(*impl_->model, impl_->sequence, tokens, LogitsWanted::kAll, chunk, sink);
  impl_->tokens.insert(impl_->tokens.end(), tokens.begin(),
                       tokens.begin() + (impl_->sequence.length() - before));
  return status;
}

Result<Generation> Session::generate(const std::vector<int32_t>& prompt,
                                     const GenerateOptions& options, const OnText& on_text,
                                     Stats& stats) {
  Model::Impl& m = *impl_->model;
  Sequence& sequence = impl_->sequence;
  if (prompt.empty()) return invalid("the prompt is empty; give at least one token");
  LH_RETURN_IF_ERROR(check_sampling(options.sampling));
  if (!m.tokenizer)
    return invalid(
        "{}: no tokenizer.json, so text cannot be generated; copy it from the checkpoint",
        m.folder);
  const int64_t room =
      sequence.max_tokens() - sequence.length() - static_cast<int64_t>(prompt.size());
  if (room < 0) {
    const int64_t used = sequence.length();
    return make_error(
        ErrorCode::kOverBudget,
        "the prompt of {} tokens does not fit the context of {}{}; use a larger --context",
        prompt.size(), sequence.max_tokens(),
        used > 0 ? fmt::format(", of which {} are in use", used) : "");
  }
  LH_RETURN_IF_ERROR(check_tokens(m, prompt));
  const int64_t budget = std::min(options.max_tokens, room);
  std::vector<int32_t>& taken = impl_->tokens;
  const size_t n_before = taken.size();
  taken.reserve(n_before + prompt.size() + static_cast<size_t>(std::max<int64_t>(0, budget)));
  taken.insert(taken.end(), prompt.begin(), prompt.end());
  Sampler sampler(options.sampling, m.defaults, m.arch.vocab_size, taken, budget);
  Detokenizer detokenizer(*m.tokenizer, /*skip_special=*/true, options.visible_tokens);
  std::vector<std::string> stops = options.stop;
  stops.insert(stops.end(), m.defaults.stop_strings.begin(), m.defaults.stop_strings.end());
  StopText stop(std::move(stops));
  Generation out;
  out.tokens.reserve(static_cast<size_t>(std::max<int64_t>(0, budget)));

  int32_t next = Sampler::kNoNumber;
  const LogitsSink sink = [&](size_t, int64_t, int64_t, const float* logits) {
    // The executor's own buffer, free to be edited until the next step.
    next = sampler.sample({const_cast<float*>(logits), static_cast<size_t>(m.arch.vocab_size)});
    return true;
  };
  const double start = now_seconds();
  // Where a step fails, these are the tokens that the sequence took in before.
  const auto checked = [&, before = sequence.length()](Status status) {
    if (!status.ok()) taken.resize(n_before + static_cast<size_t>(sequence.length() - before));
    return status;
  };
  LH_RETURN_IF_ERROR(checked(take_in(m, sequence, prompt, LogitsWanted::kLast, 0, sink)));
  const double first = now_seconds();
  out.reason = options.max_tokens > room ? StopReason::kContextFull : StopReason::kLength;
  bool go_on = true;
  const auto emit = [&](std::string_view text) {
    if (text.empty()) return;
    out.text += text;
    if (on_text && !on_text(text)) {
      out.reason = StopReason::kCancelled;
      go_on = false;
    }
  };
  while (go_on && static_cast<int64_t>(out.tokens.size()) < budget) {
    if (next < 0) return no_token(m, next, sequence.length() - 1);
    out.tokens.push_back(next);
    if (!options.ignore_eos && m.is_stop_token(next)) {
      out.reason = StopReason::kEndOfText;
      break;
    }
    sampler.accept(next);
    emit(stop.push(detokenizer.push(next)));
    if (stop.found()) {
      out.reason = StopReason::kStopString;
      break;
    }
    if (!go_on || static_cast<int64_t>(out.tokens.size()) == budget) break;
    const SequenceInput input{&sequence, {&next, 1}, LogitsWanted::kLast};
    taken.push_back(next);
    LH_RETURN_IF_ERROR(checked(step(m, input, sink)));
  }
  if (go_on && !stop.found()) {
    emit(stop.push(detokenizer.flush()));
    emit(stop.flush());
  }
  stats.prompt_tokens += static_cast<int64_t>(prompt.size());
  stats.generated_tokens += static_cast<int64_t>(out.tokens.size());
  stats.prefill_seconds += first - start;
  stats.decode_seconds += now_seconds() - first;
  stats.state_bytes = sequence.allocated_bytes();
  stats.peak_rss_bytes = peak_resident_bytes();
  stats.flops = m.executor->flops();
  if (m.weights->experts) stats.experts = m.weights->experts->stats();
  return out;
}

Result<Score> score(const Model& model, const std::vector<int32_t>& tokens, int64_t window) {
  Model::Impl& m = model.impl();
  const int64_t size = window > 0 ? std::min(window, m.context) : m.context;
  const auto bos = m.arch.requires_bos ? m.defaults.bos_token_id : std::nullopt;
  const size_t body = static_cast<size_t>(size) - (bos ? 1 : 0);
  if (body < 1)
    return invalid(
        "a window of {} tokens has no room to score; use a larger --window and --context", size);
  Score result;
  const int64_t v = m.arch.vocab_size;
  for (size_t begin = 0; begin < tokens.size(); begin += body) {
    const size_t end = std::min(tokens.size(), begin + body);
    std::vector<int32_t> part;
    part.reserve(static_cast<size_t>(size));
    if (bos) part.push_back(*bos);
    for (size_t i = begin; i < end; ++i) part.push_back(tokens[i]);
    LH_TRY(Session session, Session::create(model));
    LH_RETURN_IF_ERROR(session.logits(part, [&](int64_t first, int64_t n, const float* logits) {
      for (int64_t row = 0; row < n; ++row) {
        const auto target = static_cast<size_t>(first + row + 1);
        if (target >= part.size()) continue;
        const float* l = logits + row * v;
        const float max = *std::max_element(l, l + v);
        double sum = 0;
        for (int64_t i = 0; i < v; ++i) sum += std::exp(static_cast<double>(l[i] - max));
        const double nll = max + std::log(sum) - l[part[target]];
        result.token_nll.push_back(static_cast<float>(nll));
        result.tokens.push_back(part[target]);
        result.nll += nll;
      }
      return true;
    }));
    if (!std::isfinite(result.nll))
      return corrupt(
          "{}: the logits of this text are no numbers; the checkpoint's weights are damaged or "
          "overflow",
          m.folder);
  }
  result.n_tokens = static_cast<int64_t>(result.token_nll.size());
  if (result.n_tokens == 0) {
    return invalid(
        "nothing to score: the text has {} tokens, and each is scored by those before it in its "
        "window; give a longer text{}",
        tokens.size(), tokens.empty() ? "" : " or --window");
  }
  result.nll /= static_cast<double>(result.n_tokens);
  return result;
}

}  // namespace longhaul
