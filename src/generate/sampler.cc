#include "generate/sampler.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhaul {

constexpr float kOut = -std::numeric_limits<float>::infinity();

Sampler::Sampler(const SamplingOptions& options, const GenerationDefaults& defaults,
                 int64_t vocab_size, std::span<const int32_t> prompt, int64_t max_tokens)
    : options_(options),
      steps_(logit_steps(options, defaults, vocab_size, max_tokens)),
      n_prompt_(prompt.size()),
      seen_(static_cast<size_t>(vocab_size), false),
      counts_(static_cast<size_t>(vocab_size), 0) {
  const auto n = static_cast<size_t>(vocab_size);
  tokens_.reserve(prompt.size() + static_cast<size_t>(std::max<int64_t>(0, max_tokens)));
  distinct_.reserve(n);
  candidates_.reserve(n);
  if (options.typical_p < 1.0) surprises_.reserve(n);
  for (const int32_t token : prompt) accept(token);
  std::fill(counts_.begin(), counts_.end(), 0);
  n_distinct_prompt_ = distinct_.size();
}

void Sampler::accept(int32_t token) {
  const auto t = static_cast<size_t>(token);
  tokens_.push_back(token);
  ++counts_[t];
  if (seen_[t]) return;
  seen_[t] = true;
  distinct_.push_back(token);
}

TextSoFar Sampler::text() const {
  return {tokens_, n_prompt_, counts_, distinct_, std::span(distinct_).first(n_distinct_prompt_)};
}

// Ties by id so that a seed decides alone.
void Sampler::take_candidates(std::span<const float> logits) {
  candidates_.clear();
  for (size_t t = 0; t < logits.size(); ++t) {
    if (logits[t] > kOut)
      candidates_.push_back({logits[t], static_cast<int32_t>(t)});  // false for NaN too
  }
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates_.size() &&
      options_.top_h >= 1.0) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                      before);
    candidates_.resize(static_cast<size_t>(options_.top_k));
  } else {
    std::sort(candidates_.begin(), candidates_.end(), before);
  }
}

void Sampler::weigh() {
  const double best = candidates_.front().logit;
  for (Candidate& c : candidates_)
    c.weight = static_cast<float>(std::exp((c.logit - best) / options_.temperature));
}

double Sampler::sum_of_weights() const {
  double sum = 0;
  for (const Candidate& c : candidates_) sum += c.weight;
  return sum;
}

double Sampler::entropy(size_t n) const {
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < n; ++i) {
    const double w = candidates_[i].weight;
    sum += w;
    if (w > 0) weighted += w * std::log(w);
  }
  return std::log(sum) - weighted / sum;
}

// Of the likeliest hundred, as the reference has it.
void Sampler::cut_by_share_of_entropy() {
  const size_t n = std::min<size_t>(100, candidates_.size());
  const double bound = entropy(n) * options_.top_h;
  double sum = 0, reached = 0;
  for (size_t i = 0; i < n; ++i) sum += candidates_[i].weight;
  size_t kept = 0;
  for (; kept < n; ++kept) {
    const double p = candidates_[kept].weight / sum;
    reached += p > 0 ? -p * std::log(p) : 0;
    if (!(reached <= bound)) break;
  }
  if (options_.top_k > 0) kept = std::min(kept, static_cast<size_t>(options_.top_k));
  candidates_.resize(std::max<size_t>(kept, 1));
}

// By min-p and top-p: both keep a beginning.
void Sampler::cut_tail() {
  const double total = sum_of_weights();
  double kept = 0.0;
  size_t n = 0;
  while (n < candidates_.size() && candidates_[n].weight >= options_.min_p) {
    kept += candidates_[n++].weight;
    if (kept >= options_.top_p * total) break;
  }
  candidates_.resize(std::max<size_t>(
      n, 1));  // an infinite logit makes every weight NaN: the best candidate stands
}

// Those whose surprise is nearest to the entropy, until they reach typical_p; and whatever is as
// near as the last of them.
void Sampler::keep_typical() {
  const double total = sum_of_weights(), expected = entropy(candidates_.size());
  surprises_.clear();
  for (size_t i = 0; i < candidates_.size(); ++i)
    surprises_.push_back({std::abs(-std::log(candidates_[i].weight / total) - expected), i});
  std::sort(surprises_.begin(), surprises_.end());
  double reached = 0;
  size_t last = 0;
  for (; last + 1 < surprises_.size(); ++last) {
    reached += candidates_[surprises_[last].second].weight / total;
    if (!(reached < options_.typical_p)) break;
  }
  const double bound = surprises_[last].first;
  std::erase_if(candidates_, [&](const Candidate& c) {
    return std::abs(-std::log(c.weight / total) - expected) > bound;
  });
}

void Sampler::cut_improbable() {
  const auto cut = [&](double least) {
    const double total = sum_of_weights(), best = candidates_.front().logit;
    std::erase_if(candidates_,
                  [&](const Candidate& c) { return c.weight / total < least && c.logit < best; });
  };
  if (options_.epsilon_cutoff > 0) cut(options_.epsilon_cutoff);
  if (options_.eta_cutoff <= 0) return;
  cut(std::min(options_.eta_cutoff,
               std::sqrt(options_.eta_cutoff) * std::exp(-entropy(candidates_.size()))));
}

// Of mean 1, exponentially distributed.
static double noise(uint64_t seed, uint64_t position, int32_t token) {
  const uint64_t key[] = {position, static_cast<uint64_t>(token)};
  const uint64_t bits = XXH3_64bits_withSeed(key, sizeof key, seed) >> 12;
  return -std::log((static_cast<double>(bits) + 0.5) * 0x1p-52);
}

// The first of exponential clocks that run at the rates of the weights: an exact draw, the same as
// the largest of logit / temperature + Gumbel noise.
int32_t Sampler::draw() const {
  constexpr double kLeastNoise = 0x1p-53;
  const uint64_t position = tokens_.size();
  int32_t drawn = candidates_.front().token;  // stands where an infinite logit makes weights NaN
  double first = std::numeric_limits<double>::infinity();
  for (const Candidate& c : candidates_) {
    if (kLeastNoise > first * c.weight) break;  // no later one, which weighs no more, can win
    const double time = noise(options_.seed, position, c.token) / c.weight;
    if (time < first) {
      first = time;
      drawn = c.token;
    }
  }
  return drawn;
}

int32_t Sampler::sample(std::span<float> logits) {
  const auto is_candidate = [](float l) { return l > kOut; };
  const bool has_number = std::any_of(logits.begin(), logits.end(), is_candidate);
  const TextSoFar so_far = text();
  for (const LogitStep& step : steps_) step(so_far, logits);
  if (options_.temperature <= 0.0) {
    int32_t best = kNoNumber;
    for (size_t t = 0; t < logits.size(); ++t) {
      if (is_candidate(logits[t]) && (best < 0 || logits[t] > logits[static_cast<size_t>(best)]))
        best = static_cast<int32_t>(t);
    }
    return best < 0 && has_number ? kAllRuledOut : best;
  }
  take_candidates(logits);
  if (candidates_.empty()) return has_number ? kAllRuledOut : kNoNumber;
  weigh();
  if (options_.top_h < 1.0) cut_by_share_of_entropy();
  cut_tail();
  if (options_.typical_p < 1.0) keep_typical();
  cut_improbable();
  return draw();
}

}  // namespace longhaul
