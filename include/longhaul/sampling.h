// How the next token is chosen.
#pragma once

#include <cstdint>

namespace longhaul {

struct SamplingOptions {
  double temperature = 1.0;         // 0: greedy
  int64_t top_k = 0;                // 0: all
  double top_p = 1.0;               // smallest set whose probability reaches top_p (Holtzman et al. 2020)
  double min_p = 0.0;               // at least min_p times the largest probability (Nguyen et al. 2024)
  double repetition_penalty = 1.0;  // divides positive, multiplies negative logits of seen tokens (Keskar et al. 2019)
  double presence_penalty = 0.0;    // taken from the logit of every seen token
  double frequency_penalty = 0.0;   // taken once per occurrence
  uint64_t seed = 0;
};

}  // namespace longhaul
