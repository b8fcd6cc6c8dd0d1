// How the next token is chosen.
#pragma once

#include <cstdint>
#include <vector>

namespace longhaul {

// Added to a token's logit wherever it may be chosen. Minus infinity rules it out.
struct TokenBias {
  int32_t token = 0;
  float bias = 0;
};

// The text so far is prompt and answer, whatever a session held before included.
struct SamplingOptions {
  double temperature = 1.0;  // 0: greedy
  int64_t top_k = 0;         // 0: all
  double top_p = 1.0;        // smallest set whose probability reaches top_p (Holtzman et al. 2020)
  double min_p = 0.0;        // at least min_p times the largest probability (Nguyen et al. 2024)
  // likeliest tokens up to top_h of the entropy of 100 (Potraghloo et al. 2025); 1: all
  double top_h = 1.0;
  // set of most expected surprise that reaches typical_p (Meister et al. 2022)
  double typical_p = 1.0;
  // least probability; the likeliest token stays (Hewitt et al. 2022); 0: none
  double epsilon_cutoff = 0.0;
  // the same, lower where entropy is high: min(eta, sqrt(eta) exp(-entropy)); 0: none
  double eta_cutoff = 0.0;
  // divides positive, multiplies negative logits of the text's tokens (Keskar et al. 2019)
  double repetition_penalty = 1.0;
  // no run of so many tokens stands twice in the text; 0: any may
  int64_t no_repeat_ngram_size = 0;
  double presence_penalty = 0.0;   // taken from the logit of every token of the answer
  double frequency_penalty = 0.0;  // taken once per occurrence in the answer
  // with it a position of a text draws the same, however its logits were computed
  uint64_t seed = 0;
  std::vector<TokenBias> logit_bias = {};  // after penalties; each token once
};

}  // namespace longhaul
