#include "generate/logit_steps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace longhaul {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();

using Ids = std::vector<int32_t>;

// Ids of the vocabulary: a config may name others, which no model gives.
Ids known(const Ids& ids, int64_t vocab_size) {
  Ids found;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(found),
               [&](int32_t id) { return id >= 0 && id < vocab_size; });
  return found;
}

void rule_out(std::span<float> logits, const Ids& ids) {
  for (const int32_t id : ids) logits[static_cast<size_t>(id)] = kOut;
}

void allow_only(std::span<float> logits, const Ids& ids) {
  std::fill(logits.begin(), logits.end(), kOut);
  for (const int32_t id : ids) logits[static_cast<size_t>(id)] = 0.0f;
}

// Whether the text ends in all ids of a sequence but its last.
bool ends_before_last(std::span<const int32_t> text, const Ids& sequence) {
  const size_t n = sequence.size() - 1;
  return n <= text.size() &&
         std::equal(sequence.begin(), sequence.end() - 1, text.end() - static_cast<ptrdiff_t>(n));
}

// All biases that apply add up before they meet the logits, as in the reference.
LogitStep add_biases(std::vector<SequenceBias> biases, int64_t vocab_size) {
  std::erase_if(biases, [&](const SequenceBias& b) { return b.ids.back() >= vocab_size; });
  auto sums = std::make_shared<std::vector<float>>(static_cast<size_t>(vocab_size), 0.0f);
  return [biases = std::move(biases), sums](const TextSoFar& text, std::span<float> logits) {
    for (const SequenceBias& b : biases) {
      if (ends_before_last(text.tokens, b.ids))
        (*sums)[static_cast<size_t>(b.ids.back())] += b.bias;
    }
    for (const SequenceBias& b : biases) {
      float& sum = (*sums)[static_cast<size_t>(b.ids.back())];
      logits[static_cast<size_t>(b.ids.back())] += std::exchange(sum, 0.0f);
    }
  };
}

void penalise(std::span<float> logits, std::span<const int32_t> ids, float penalty) {
  for (const int32_t id : ids) {
    float& l = logits[static_cast<size_t>(id)];
    l = l < 0 ? l * penalty : l / penalty;
  }
}

LogitStep answer_penalties(const SamplingOptions& o) {
  return [presence = o.presence_penalty, frequency = o.frequency_penalty](const TextSoFar& text,
                                                                          std::span<float> logits) {
    for (const int32_t id : text.distinct_tokens) {
      const int32_t count = text.answer_counts[static_cast<size_t>(id)];
      if (count > 0)
        logits[static_cast<size_t>(id)] -= static_cast<float>(presence + frequency * count);
    }
  };
}

// Rules out every token that would end a run of n tokens which stands in `past` already.
void rule_out_repeats(std::span<const int32_t> text, std::span<const int32_t> past, int64_t n,
                      std::span<float> logits) {
  const auto size = static_cast<size_t>(n);
  if (text.size() + 1 < size || past.size() < size) return;
  const auto begin = text.end() - static_cast<ptrdiff_t>(size - 1);
  for (size_t i = 0; i + size <= past.size(); ++i) {
    if (std::equal(begin, text.end(), past.begin() + static_cast<ptrdiff_t>(i)))
      logits[static_cast<size_t>(past[i + size - 1])] = kOut;
  }
}

LogitStep no_repeats(int64_t n) {
  return [n](const TextSoFar& text, std::span<float> logits) {
    rule_out_repeats(text.tokens, text.tokens, n, logits);
  };
}

LogitStep no_repeats_of_the_prompt(int64_t n) {
  return [n](const TextSoFar& text, std::span<float> logits) {
    rule_out_repeats(text.tokens, text.prompt(), n, logits);
  };
}

// An end of the text that is listed as a bad word stays allowed.
std::vector<SequenceBias> bad_words(const GenerationDefaults& d) {
  std::vector<SequenceBias> biases;
  for (const Ids& word : d.bad_words_ids) {
    const bool is_end = word.size() == 1 && std::binary_search(d.eos_token_ids.begin(),
                                                               d.eos_token_ids.end(), word.front());
    if (!is_end) biases.push_back({word, kOut});
  }
  return biases;
}

LogitStep no_end_before(Ids ends, int64_t min_length, int64_t min_new_tokens) {
  return [ends = std::move(ends), min_length, min_new_tokens](const TextSoFar& text,
                                                              std::span<float> logits) {
    if (static_cast<int64_t>(text.tokens.size()) < min_length || text.n_answer() < min_new_tokens)
      rule_out(logits, ends);
  };
}

LogitStep likelier_ends(Ids ends, LengthDecay decay) {
  return [ends = std::move(ends), decay](const TextSoFar& text, std::span<float> logits) {
    const int64_t n = text.n_answer() - decay.start;
    if (n <= 0) return;
    const auto share = static_cast<float>(std::pow(decay.factor, static_cast<double>(n)) - 1.0);
    for (const int32_t id : ends)
      logits[static_cast<size_t>(id)] += std::abs(logits[static_cast<size_t>(id)]) * share;
  };
}

class Builder {
 public:
  Builder(const SamplingOptions& options, const GenerationDefaults& defaults, int64_t vocab_size,
          int64_t max_tokens)
      : o_(options),
        d_(defaults),
        vocab_size_(vocab_size),
        max_tokens_(max_tokens),
        ends_(known(defaults.eos_token_ids, vocab_size)) {}

  std::vector<LogitStep> build() {
    if (!d_.sequence_bias.empty()) steps_.push_back(add_biases(d_.sequence_bias, vocab_size_));
    add_penalties();
    if (o_.no_repeat_ngram_size > 0) steps_.push_back(no_repeats(o_.no_repeat_ngram_size));
    if (const int64_t n = d_.encoder_no_repeat_ngram_size.value_or(0); n > 0)
      steps_.push_back(no_repeats_of_the_prompt(n));
    if (!d_.bad_words_ids.empty()) steps_.push_back(add_biases(bad_words(d_), vocab_size_));
    add_ends();
    add_suppressed();
    return std::move(steps_);
  }

 private:
  void add_penalties() {
    // What the reference calls an encoder's input is the prompt where there is no encoder; a
    // penalty keeps the answer to its tokens.
    if (const double p = d_.encoder_repetition_penalty.value_or(1.0); p != 1.0) {
      steps_.push_back(
          [p = static_cast<float>(1.0 / p)](const TextSoFar& text, std::span<float> logits) {
            penalise(logits, text.distinct_prompt, p);
          });
    }
    if (o_.repetition_penalty != 1.0) {
      steps_.push_back([p = static_cast<float>(o_.repetition_penalty)](const TextSoFar& text,
                                                                       std::span<float> logits) {
        penalise(logits, text.distinct_tokens, p);
      });
    }
    if (o_.presence_penalty != 0.0 || o_.frequency_penalty != 0.0)
      steps_.push_back(answer_penalties(o_));
    if (!o_.logit_bias.empty()) {
      steps_.push_back([biases = o_.logit_bias](const TextSoFar&, std::span<float> logits) {
        for (const TokenBias& b : biases) logits[static_cast<size_t>(b.token)] += b.bias;
      });
    }
  }

  void add_ends() {
    const int64_t min_length = d_.min_length.value_or(0), min_new = d_.min_new_tokens.value_or(0);
    if (min_length > 0 || min_new > 0) steps_.push_back(no_end_before(ends_, min_length, min_new));
    if (d_.forced_bos_token_id && *d_.forced_bos_token_id < vocab_size_) {
      steps_.push_back(
          [only = Ids{*d_.forced_bos_token_id}](const TextSoFar& text, std::span<float> logits) {
            if (text.tokens.size() == 1) allow_only(logits, only);
          });
    }
    if (Ids only = known(d_.forced_eos_token_id, vocab_size_); !only.empty()) {
      steps_.push_back([only = std::move(only), last = max_tokens_ - 1](const TextSoFar& text,
                                                                        std::span<float> logits) {
        if (text.n_answer() == last) allow_only(logits, only);
      });
    }
    if (d_.exponential_decay_length_penalty)
      steps_.push_back(likelier_ends(ends_, *d_.exponential_decay_length_penalty));
  }

  void add_suppressed() {
    if (Ids ids = known(d_.suppress_tokens, vocab_size_); !ids.empty())
      steps_.push_back([ids = std::move(ids)](const TextSoFar&, std::span<float> logits) {
        rule_out(logits, ids);
      });
    Ids at_begin = known(d_.begin_suppress_tokens, vocab_size_);
    if (at_begin.empty()) return;
    // A first token that is forced begins nothing.
    steps_.push_back([ids = std::move(at_begin), forced = d_.forced_bos_token_id.has_value()](
                         const TextSoFar& text, std::span<float> logits) {
      const int64_t first = forced && text.n_prompt <= 1 ? 1 : 0;
      if (text.n_answer() == first) rule_out(logits, ids);
    });
  }

  const SamplingOptions& o_;
  const GenerationDefaults& d_;
  int64_t vocab_size_, max_tokens_;
  Ids ends_;
  std::vector<LogitStep> steps_;
};

}  // namespace

std::vector<LogitStep> logit_steps(const SamplingOptions& options,
                                   const GenerationDefaults& defaults, int64_t vocab_size,
                                   int64_t max_tokens) {
  return Builder(options, defaults, vocab_size, max_tokens).build();
}

}  // namespace longhaul
