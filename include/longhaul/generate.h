// Answers: tokens chosen one after the other, and their text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/session.h"

namespace longhaul {

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_tokens = 256;
  std::vector<std::string> stop;  // text that ends the answer and is not part of it
  bool ignore_eos = false;        // goes on behind the model's stop tokens
  // Special tokens that are written out; the others are not part of the text.
  std::vector<int32_t> visible_tokens;
  // Log-probabilities of the answer's tokens, each beside so many of the likeliest: by the model's
  // own distribution, before penalties, biases and temperature. nullopt: none.
  std::optional<int64_t> logprobs;
};

struct Logprob {
  int32_t token = 0;
  float logprob = 0;  // natural
};
// Of a token of the answer.
struct TokenLogprobs {
  Logprob chosen;
  std::vector<Logprob> top;  // the likeliest, falling; of equal ones the smaller id first
};

enum class StopReason {
  kLength,       // max_tokens
  kEndOfText,    // one of the model's stop tokens, which is the last of `tokens`
  kStopString,   // of the options or of generation_config.json
  kContextFull,  // the timeline holds no more
  kCancelled,    // by a callback or Engine::cancel
};
const char* to_string(StopReason reason);  // "length", "end_of_text", ...

struct Timings {
  int64_t prompt_tokens = 0;  // evaluated
  int64_t reused_tokens = 0;  // of the prompt, that the timeline held already
  int64_t generated_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;

  double prefill_tokens_per_second() const {
    return prefill_seconds > 0 ? static_cast<double>(prompt_tokens) / prefill_seconds : 0;
  }
  // The first generated token comes out of the prefill: without a second one there is no speed,
  // which is told as 0.
  double decode_tokens_per_second() const {
    return decode_seconds > 0 && generated_tokens > 1
               ? static_cast<double>(generated_tokens - 1) / decode_seconds
               : 0;
  }
};

struct Generation {
  std::string text;  // empty without a tokenizer
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;  // as asked for, one for each token
  StopReason reason = StopReason::kLength;
  Timings timings;
};

// What became certain in a step. Text is whole characters, nothing that may turn out to be part of
// a stop string; it may come later than its token, and the last piece has no token.
struct Piece {
  std::string_view text;                    // valid during the call
  std::optional<int32_t> token;             // that was chosen
  const TokenLogprobs* logprobs = nullptr;  // of the token; null where none were asked for
};
// Called on the thread that generates. Returning false ends the answer (kCancelled).
using OnPiece = std::function<bool(const Piece& piece)>;

// Syncs the session to `prompt`, then generates. The timeline ends in the answer; its last token is
// chosen but not yet part of it.
//   kInvalidArgument  an empty prompt, an option out of its range
//   kOverBudget       the prompt does not fit the session
//   kCorruptFile      logits that are no numbers: damaged weights
// on_prefill returning false is no error: the answer is empty and kCancelled. Threads and what an
// error leaves: as Session says.
Result<Generation> generate(Session& session, std::span<const int32_t> prompt,
                            const GenerateOptions& options, const OnPiece& on_piece = {},
                            const OnPrefill& on_prefill = {});

// Figures of an answer beside what the planner had announced, for people and for programs. Keys of
// the JSON are stable.
struct RunStats {
  LoadStats load;
  WorkStats work;
  Timings timings;
  uint64_t state_bytes = 0, peak_rss_bytes = 0;  // of the process, so far
  uint64_t planned_state_bytes = 0, planned_weight_bytes = 0, planned_scratch_bytes = 0,
           planned_total_bytes = 0;
};
RunStats run_stats(const Session& session, const Timings& timings);
std::string to_text(const RunStats& stats);
std::string to_json(const RunStats& stats);

}  // namespace longhaul
