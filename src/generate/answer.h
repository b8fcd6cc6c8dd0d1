// One answer while it is made: from logits to tokens, their log-probabilities and their text, until
// something ends it. It runs no step: a lone session and a batch make the same answer of the same
// logits.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/errors.h"
#include "formats/generation_config.h"
#include "generate/sampler.h"
#include "generate/stop_text.h"
#include "longhaul/generate.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {

// What an answer needs of the model; it must outlive the answer.
struct AnswerModel {
  std::string_view folder;  // for messages
  int64_t vocab_size = 0;
  const GenerationDefaults* defaults = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null: tokens alone
};

// Options out of their ranges, and what needs a tokenizer where there is none.
Status check_options(const AnswerModel& model, const GenerateOptions& options);

class Answer {
 public:
  // prompt: whole. room: tokens that the timeline can hold behind it. The options were checked.
  Answer(const AnswerModel& model, const GenerateOptions& options, std::span<const int32_t> prompt,
         int64_t room);

  bool is_done() const { return is_done_; }
  // Chooses the next token by logits [V] of the text so far. An error where none can be chosen.
  Status take(std::span<const float> logits, const OnPiece& on_piece);
  int32_t last_token() const { return out_.tokens.back(); }
  void cancel() { end(StopReason::kCancelled); }
  // All of it, without timings but for the number of tokens. The answer is over then.
  Generation finish();

 private:
  void end(StopReason reason);
  void emit(std::string_view text, std::optional<int32_t> token, const OnPiece& on_piece);
  Error no_token(int32_t why) const;

  AnswerModel model_;
  std::optional<int64_t> n_logprobs_;
  bool ignore_eos_ = false;
  int64_t n_prompt_ = 0, budget_ = 0;
  Sampler sampler_;
  std::optional<Detokenizer> detokenizer_;
  StopText stop_;
  std::vector<float> scratch_;  // [V] that the sampler edits
  Generation out_;
  bool is_done_ = false;
};

// The log-probability of a token by logits [V], beside the n_top likeliest.
TokenLogprobs logprobs_of(std::span<const float> logits, int32_t token, int64_t n_top);

}  // namespace longhaul
