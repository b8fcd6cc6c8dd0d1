// From logits to a token: penalties, then temperature, top-k, top-p, min-p, then one draw. The same seed gives the same tokens.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "longhaul/sampling.h"

namespace longhaul {

class Sampler {
 public:
  Sampler(const SamplingOptions& options, int64_t vocab_size, std::span<const int32_t> suppressed);

  // Counts a token of prompt or output for the penalties.
  void accept(int32_t token);  // token in [0, V)
  // Chooses from logits [V], which it edits. kNoToken where no logit is a number (all NaN or suppressed).
  int32_t sample(std::span<float> logits);

  static constexpr int32_t kNoToken = -1;

 private:
  struct Candidate {
    float logit;
    int32_t token;
  };
  void apply_penalties(std::span<float> logits) const;
  void keep_top_k(std::span<const float> logits);
  int32_t draw();

  SamplingOptions options_;
  std::vector<int32_t> suppressed_;
  std::vector<int32_t> counts_, seen_;  // by token; tokens with a count
  std::vector<Candidate> candidates_;
  std::mt19937_64 random_;
};

}  // namespace longhaul
