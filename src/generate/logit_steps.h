// What is done to logits before a token is chosen: penalties, biases and rules of sampling options
// and of the checkpoint's generation_config.json, in the reference's order.
//
// Source: the reference's logits processors, which these equal to the bit but for presence and
// frequency penalties, which it has not.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "formats/generation_config.h"
#include "longhaul/sampling.h"

namespace longhaul {

// A text while its answer is made.
struct TextSoFar {
  std::span<const int32_t> tokens;  // all, prompt first
  size_t n_prompt = 0;
  std::span<const int32_t> answer_counts;    // [V] occurrences in the answer
  std::span<const int32_t> distinct_tokens;  // of tokens, in order of first occurrence
  std::span<const int32_t> distinct_prompt;  // likewise, of the prompt

  std::span<const int32_t> prompt() const { return tokens.first(n_prompt); }
  int64_t n_answer() const { return static_cast<int64_t>(tokens.size() - n_prompt); }
};

// Edits logits [V]; allocates nothing. Minus infinity rules a token out.
using LogitStep = std::function<void(const TextSoFar& text, std::span<float> logits)>;

// Steps that do something, in the order in which they are to run.
//   max_tokens  of the answer, for what ends it
std::vector<LogitStep> logit_steps(const SamplingOptions& options,
                                   const GenerationDefaults& defaults, int64_t vocab_size,
                                   int64_t max_tokens);

}  // namespace longhaul
