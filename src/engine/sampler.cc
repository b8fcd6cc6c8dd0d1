#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhaul {

constexpr float kOut = -std::numeric_limits<float>::infinity();

Sampler::Sampler(const SamplingOptions& options, int64_t vocab_size, std::span<const int32_t> suppressed)
    : options_(options), counts_(static_cast<size_t>(vocab_size), 0), random_(options.seed) {
  seen_.reserve(static_cast<size_t>(vocab_size));
  for (int32_t t : suppressed) {
    if (t >= 0 && t < vocab_size) suppressed_.push_back(t);
  }
  candidates_.reserve(static_cast<size_t>(vocab_size));
}

void Sampler::accept(int32_t token) {
  if (counts_[static_cast<size_t>(token)]++ == 0) seen_.push_back(token);
}

void Sampler::apply_penalties(std::span<float> logits) const {
  for (int32_t t : suppressed_) logits[static_cast<size_t>(t)] = kOut;
  if (options_.repetition_penalty == 1.0 && options_.presence_penalty == 0.0 && options_.frequency_penalty == 0.0) return;
  for (const int32_t token : seen_) {
    const int32_t count = counts_[static_cast<size_t>(token)];
    float& l = logits[static_cast<size_t>(token)];
    l = static_cast<float>(l > 0 ? l / options_.repetition_penalty : l * options_.repetition_penalty);
    l -= static_cast<float>(options_.presence_penalty + options_.frequency_penalty * count);
  }
}

// Candidates in falling order of logit, ties by id so that a seed decides alone.
void Sampler::keep_top_k(std::span<const float> logits) {
  candidates_.clear();
  for (size_t t = 0; t < logits.size(); ++t) {
    if (logits[t] > kOut) candidates_.push_back({logits[t], static_cast<int32_t>(t)});  // false for NaN too
  }
  const auto before = [](const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.token < b.token; };
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates_.size()) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(), before);
    candidates_.resize(static_cast<size_t>(options_.top_k));
  } else {
    std::sort(candidates_.begin(), candidates_.end(), before);
  }
}

int32_t Sampler::draw() {
  // Probabilities relative to the best candidate; the tail is cut by min-p and top-p.
  double total = 0.0;
  const double best = candidates_.front().logit;
  for (Candidate& c : candidates_) {
    c.logit = static_cast<float>(std::exp((c.logit - best) / options_.temperature));
    total += c.logit;
  }
  double kept = 0.0;
  size_t n = 0;
  while (n < candidates_.size() && candidates_[n].logit >= options_.min_p) {
    kept += candidates_[n++].logit;
    if (kept >= options_.top_p * total) break;
  }
  n = std::max<size_t>(n, 1);  // an infinite logit makes every weight NaN: the best candidate stands
  double u = std::generate_canonical<double, 53>(random_) * kept;
  for (size_t i = 0; i < n; ++i) {
    u -= candidates_[i].logit;
    if (u < 0) return candidates_[i].token;
  }
  return candidates_[n - 1].token;
}

int32_t Sampler::sample(std::span<float> logits) {
  apply_penalties(logits);
  if (options_.temperature <= 0.0) {
    int32_t best = kNoToken;
    for (size_t t = 0; t < logits.size(); ++t) {
      if (logits[t] > kOut && (best == kNoToken || logits[t] > logits[static_cast<size_t>(best)])) best = static_cast<int32_t>(t);
    }
    return best;
  }
  keep_top_k(logits);
  return candidates_.empty() ? kNoToken : draw();
}

}  // namespace longhaul
