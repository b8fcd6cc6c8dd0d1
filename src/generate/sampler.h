// From logits to a token: steps over logits (logit_steps.h), then over candidates: temperature,
// cuts, one draw.
//
// The noise of a draw depends on seed, position and token, and on nothing that was drawn before: a
// seed gives the same text however the logits were computed, one row at a time or many at once.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "generate/logit_steps.h"
#include "longhaul/sampling.h"

namespace longhaul {

class Sampler {
 public:
  // Allocates all it needs for an answer of max_tokens to a prompt [ids in 0..V-1].
  Sampler(const SamplingOptions& options, const GenerationDefaults& defaults, int64_t vocab_size,
          std::span<const int32_t> prompt, int64_t max_tokens);

  // Counts a token of the answer.
  void accept(int32_t token);  // token in [0, V)
  // Chooses from logits [V], which it edits. Negative where there is none to choose:
  // kNoNumber where no logit is a number, kAllRuledOut where the rules leave none that was.
  int32_t sample(std::span<float> logits);

  static constexpr int32_t kNoNumber = -1, kAllRuledOut = -2;

  struct Candidate {
    float logit = 0;
    int32_t token = 0;
    float weight = 0;  // its probability divided by that of the likeliest
  };
  // What the last call chose among, in falling order of logit; meaningless where it was greedy.
  std::span<const Candidate> candidates() const { return candidates_; }

 private:
  TextSoFar text() const;
  void take_candidates(std::span<const float> logits);
  void weigh();
  // Each keeps the first candidate at least.
  void cut_by_share_of_entropy();
  void cut_tail();
  void keep_typical();
  void cut_improbable();
  double sum_of_weights() const;
  double entropy(size_t n) const;  // of the first n, in nats
  int32_t draw() const;

  SamplingOptions options_;
  std::vector<LogitStep> steps_;
  size_t n_prompt_ = 0, n_distinct_prompt_ = 0;
  std::vector<int32_t> tokens_;    // prompt and answer
  std::vector<int32_t> distinct_;  // each once, those of the prompt first
  std::vector<bool> seen_;         // [V]
  std::vector<int32_t> counts_;    // [V] in the answer
  std::vector<Candidate> candidates_;
  std::vector<std::pair<double, size_t>> surprises_;  // of candidates, by index
};

}  // namespace longhaul
