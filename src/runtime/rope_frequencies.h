// Frequencies of one rope spec from step to step: computed anew only where the length of the text
// changes them, in memory that was there before.
#pragma once

#include "mechanisms/rope.h"

namespace longhaul {

class RopeFrequencies {
 public:
  explicit RopeFrequencies(const RopeSpec& spec) : spec_(spec), values_(rope_frequencies(spec)) {}

  // [n_pairs], of a text of n_tokens in all. Valid until the next call.
  const std::vector<float>& in_text_of(int64_t n_tokens) {
    if (spec_.follows_length() && n_tokens != n_tokens_) {
      rope_frequencies(spec_, n_tokens, values_);
      n_tokens_ = n_tokens;
    }
    return values_;
  }

 private:
  RopeSpec spec_;
  std::vector<float> values_;
  int64_t n_tokens_ = 0;
};

}  // namespace longhaul
