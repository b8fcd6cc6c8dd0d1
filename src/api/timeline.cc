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
      note_(std::move(note)) {}

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
  const int64_t vocab_size = loaded().vocab_size();
  for (const int32_t t : tokens) {
    if (t >= 0 && t < vocab_size) continue;
    return invalid("token id {} is outside of the vocabulary of {}: expected 0 to {}", t,
                   vocab_size, vocab_size - 1);
  }
  if (n_before + static_cast<int64_t>(tokens.size()) <= max_tokens()) return {};
  return make_error(
      ErrorCode::kOverBudget,
      "the prompt of {} tokens does not fit the context of {}{}; use a larger --context",
      tokens.size(), max_tokens(),
      n_before > 0 ? fmt::format(", of which {} are in use", n_before) : "");
}

Status Timeline::keep_beginning(std::span<const int32_t> prompt,
                                std::span<const Snapshot> snapshots) {
  const auto is_beginning = [&](const Timeline& t) {
    return begins_with(prompt, t.tokens_) &&
           (t.tokens_.size() < prompt.size() || !t.logits_.empty());
  };
  if (is_beginning(*this)) return {};
  const Timeline* longest = nullptr;
  for (const Snapshot& snapshot : snapshots) {
    const Timeline& past = *Access::of(snapshot);
    if (past.model_ == model_ && is_beginning(past) &&
        (longest == nullptr || past.length() > longest->length()))
      longest = &past;
  }
  if (longest != nullptr) return rewind(*longest);
  LH_TRY(sequence_, loaded().new_sequence(max_tokens()));
  tokens_.clear();
  logits_.clear();
  return {};
}

Status Timeline::rewind(const Timeline& past) {
  if (past.model_ != model_)
    return invalid("the snapshot is of another model; take one of a session on this model");
  if (past.length() > max_tokens())
    return make_error(ErrorCode::kOverBudget,
                      "the snapshot holds {} tokens, the session may hold {}; make it larger",
                      past.length(), max_tokens());
  LH_TRY(sequence_, past.sequence_.fork());
  tokens_ = past.tokens_;
  logits_ = past.logits_;
  return {};
}

void Timeline::take(std::span<const int32_t> tokens) {
  const int64_t n = sequence_.length() - length();
  if (n > 0) tokens_.insert(tokens_.end(), tokens.begin(), tokens.begin() + n);
}

Status Timeline::advance(std::span<const Part> parts) {
  std::vector<SequenceInput> inputs;
  inputs.reserve(parts.size());
  for (const Part& p : parts) {
    inputs.push_back({&p.timeline->sequence_, p.tokens,
                      p.wants_logits ? LogitsWanted::kLast : LogitsWanted::kNone, p.text_length});
    p.timeline->logits_.clear();
  }
  const LoadedModel& m = parts.front().timeline->loaded();
  const auto v = static_cast<size_t>(m.vocab_size());
  const Status status = m.step(inputs, [&](size_t i, int64_t, int64_t, const float* logits) {
    parts[i].timeline->logits_.assign(logits, logits + v);
    return true;
  });
  for (const Part& p : parts) {
    p.timeline->take(p.tokens);
    if (!status.ok()) p.timeline->logits_.clear();
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
  take(tokens);
  if (!status.ok()) logits_.clear();
  return status;
}

}  // namespace longhaul
