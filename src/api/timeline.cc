#include "api/timeline.h"

#include <algorithm>

#include "api/access.h"

namespace longhaul {
namespace {

bool begins_with(std::span<const int32_t> text, std::span<const int32_t> beginning) {
  return beginning.size() <= text.size() &&
         std::equal(beginning.begin(), beginning.end(), text.begin());
}

}  // namespace

Timeline::Timeline(std::shared_ptr<const Model> model, Sequence sequence,
                   std::vector<int32_t> tokens, std::vector<float> logits, std::string note)
    : model_(std::move(model)),
      sequence_(std::move(sequence)),
      tokens_(std::move(tokens)),
      logits_(std::move(logits)),
      note_(std::move(note)) {
  tokens_.reserve(static_cast<size_t>(max_tokens()));  // a step adds to them without allocating
}

Result<std::unique_ptr<Timeline>> Timeline::create(std::shared_ptr<const Model> model,
                                                   int64_t max_tokens) {
  const LoadedModel& m = Access::of(*model).loaded;
  if (max_tokens < 0 || max_tokens > m.context)
    return invalid("a session may hold 1 to {} tokens, asked for {}; use a larger --context",
                   m.context, max_tokens);
  LH_TRY(Sequence sequence, m.new_sequence(max_tokens > 0 ? max_tokens : m.context));
  return std::make_unique<Timeline>(std::move(model), std::move(sequence), std::vector<int32_t>(),
                                    std::vector<float>(), std::string());
}

Result<std::unique_ptr<Timeline>> Timeline::fork() const {
  LH_TRY(Sequence copy, sequence_.fork());
  return std::make_unique<Timeline>(model_, std::move(copy), tokens_, logits_, note_);
}

const LoadedModel& Timeline::loaded() const { return Access::of(*model_).loaded; }

Status Timeline::check(std::span<const int32_t> tokens, int64_t n_before) const {
  LH_RETURN_IF_ERROR(loaded().check_tokens(tokens));
  if (n_before + static_cast<int64_t>(tokens.size()) <= max_tokens()) return {};
  return make_error(
      ErrorCode::kOverBudget,
      "the prompt of {} tokens does not fit the context of {}{}; use a larger --context",
      tokens.size(), max_tokens(),
      n_before > 0 ? fmt::format(", of which {} are in use", n_before) : "");
}

Status Timeline::keep_beginning(std::span<const int32_t> prompt,
                                std::span<const Snapshot> snapshots) {
  const auto is_beginning = [&](const std::vector<int32_t>& tokens,
                                const std::vector<float>& logits) {
    return begins_with(prompt, tokens) && (tokens.size() < prompt.size() || !logits.empty());
  };
  if (is_beginning(tokens_, logits_)) return {};
  const Past* longest = nullptr;
  for (const Snapshot& snapshot : snapshots) {
    const Past& past = *Access::of(snapshot);
    if (sequence_.can_rewind(past.state) && is_beginning(past.tokens, past.logits) &&
        (longest == nullptr || past.tokens.size() > longest->tokens.size()))
      longest = &past;
  }
  if (longest != nullptr) return rewind(*longest);
  LH_TRY(sequence_, loaded().new_sequence(max_tokens()));
  tokens_.clear();
  logits_.clear();
  return {};
}

Status Timeline::reserve(int64_t n_tokens) { return sequence_.reserve(n_tokens); }

Result<std::shared_ptr<const Past>> Timeline::snapshot() const {
  LH_TRY(StateSnapshot state, sequence_.snapshot());
  return std::make_shared<const Past>(Past{model_, tokens_, logits_, std::move(state)});
}

Status Timeline::rewind(const Past& past) {
  if (past.model != model_)
    return invalid("the snapshot is of another model; take one of a session on this model");
  const auto n = static_cast<int64_t>(past.tokens.size());
  if (n > max_tokens())
    return make_error(ErrorCode::kOverBudget,
                      "the snapshot holds {} tokens, the session may hold {}; make it larger", n,
                      max_tokens());
  LH_RETURN_IF_ERROR(sequence_.rewind(past.state));
  tokens_ = past.tokens;
  logits_ = past.logits;
  return {};
}

Status Timeline::advance(std::span<const Part> parts) {
  std::vector<SequenceInput> inputs(parts.size());
  return advance(parts, inputs);
}

Status Timeline::advance(const Part& part) {
  SequenceInput input;
  return advance(std::span(&part, 1), std::span(&input, 1));
}

Status Timeline::advance(std::span<const Part> parts, std::span<SequenceInput> inputs) {
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& p = parts[i];
    inputs[i] = {&p.timeline->sequence_, p.tokens,
                 p.wants_logits ? LogitsWanted::kLast : LogitsWanted::kNone, p.text_length};
    p.timeline->logits_.clear();
  }
  const LoadedModel& m = parts.front().timeline->loaded();
  const auto v = static_cast<size_t>(m.vocab_size());
  const Status status = m.step(inputs, [&](size_t i, int64_t, int64_t, const float* logits) {
    parts[i].timeline->logits_.assign(logits, logits + v);
    return true;
  });
  for (const Part& p : parts) {
    if (status.ok()) {
      p.timeline->take(p.tokens);
    } else {
      p.timeline->logits_.clear();
    }
  }
  return status;
}

Status Timeline::advance_with_all_logits(std::span<const int32_t> tokens, int64_t text_length,
                                         const LogitsSink& sink) {
  const SequenceInput input{&sequence_, tokens, LogitsWanted::kAll, text_length};
  const int64_t v = loaded().vocab_size();
  logits_.clear();
  const Status status = loaded().step(std::span(&input, 1),
                                      [&](size_t i, int64_t first, int64_t n, const float* logits) {
                                        logits_.assign(logits + (n - 1) * v, logits + n * v);
                                        return sink(i, first, n, logits);
                                      });
  if (status.ok()) {
    take(tokens);
  } else {
    logits_.clear();
  }
  return status;
}

}  // namespace longhaul
