#include "generate/answer.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace longhaul {

const char* to_string(StopReason reason) {
  switch (reason) {
    case StopReason::kLength: return "length";
    case StopReason::kEndOfText: return "end_of_text";
    case StopReason::kStopString: return "stop_string";
    case StopReason::kContextFull: return "context_full";
    case StopReason::kCancelled: return "cancelled";
  }
  return "unknown";
}

namespace {

Status check_sampling(const SamplingOptions& s, int64_t vocab_size) {
  const auto within = [](double x, double low, double high) {
    return x >= low && x <= high;
  };  // false for NaN
  if (!within(s.temperature, 0, 1e3))
    return invalid("temperature must be from 0 to 1000, given {}", s.temperature);
  for (const auto& [name, value] : {std::pair{"top-h", s.top_h},
                                    {"typical-p", s.typical_p},
                                    {"the epsilon cutoff", s.epsilon_cutoff},
                                    {"the eta cutoff", s.eta_cutoff}}) {
    if (!within(value, 0, 1)) return invalid("{} must be from 0 to 1, given {}", name, value);
  }
  if (!within(s.top_p, 0, 1)) return invalid("top-p must be from 0 to 1, given {}", s.top_p);
  if (!within(s.min_p, 0, 1)) return invalid("min-p must be from 0 to 1, given {}", s.min_p);
  if (!within(s.repetition_penalty, 1e-3, 1e3))
    return invalid("the repetition penalty must be from 0.001 to 1000, given {}",
                   s.repetition_penalty);
  if (!within(s.presence_penalty, -1e3, 1e3))
    return invalid("the presence penalty must be from -1000 to 1000, given {}", s.presence_penalty);
  if (!within(s.frequency_penalty, -1e3, 1e3))
    return invalid("the frequency penalty must be from -1000 to 1000, given {}",
                   s.frequency_penalty);
  for (const TokenBias& b : s.logit_bias) {
    if (b.token < 0 || b.token >= vocab_size)
      return invalid("a bias is for token {}: expected 0 to {}", b.token, vocab_size - 1);
    if (!(b.bias <= 1e4))  // false for NaN
      return invalid("the bias of token {} must be at most 10000, given {}", b.token, b.bias);
  }
  return {};
}

std::vector<std::string> stops_of(const AnswerModel& model, const GenerateOptions& options) {
  std::vector<std::string> stops = options.stop;
  const std::vector<std::string>& own = model.defaults->stop_strings;
  stops.insert(stops.end(), own.begin(), own.end());
  return stops;
}

}  // namespace

Status check_options(const AnswerModel& model, const GenerateOptions& options) {
  LH_RETURN_IF_ERROR(check_sampling(options.sampling, model.vocab_size));
  if (options.max_tokens < 0)
    return invalid("tokens to generate must be at least 0, given {}", options.max_tokens);
  if (options.logprobs && (*options.logprobs < 0 || *options.logprobs > model.vocab_size))
    return invalid("log-probabilities must be of 0 to {} tokens, given {}", model.vocab_size,
                   *options.logprobs);
  if (model.tokenizer == nullptr && !options.stop.empty())
    return make_error(ErrorCode::kNotFound,
                      "{}: no tokenizer.json, so stop strings cannot be found; leave them out",
                      model.folder);
  return {};
}

Answer::Answer(const AnswerModel& model, const GenerateOptions& options,
               std::span<const int32_t> prompt, int64_t room)
    : model_(model),
      n_logprobs_(options.logprobs),
      ignore_eos_(options.ignore_eos),
      n_prompt_(static_cast<int64_t>(prompt.size())),
      budget_(std::min(options.max_tokens, room)),
      sampler_(options.sampling, *model.defaults, model.vocab_size, prompt, budget_),
      stop_(stops_of(model, options)),
      scratch_(static_cast<size_t>(model.vocab_size)) {
  if (model.tokenizer != nullptr)
    detokenizer_.emplace(*model.tokenizer, /*skip_special=*/true, options.visible_tokens);
  out_.tokens.reserve(static_cast<size_t>(budget_));
  if (n_logprobs_) out_.logprobs.reserve(static_cast<size_t>(budget_));
  out_.reason = options.max_tokens > room ? StopReason::kContextFull : StopReason::kLength;
  is_done_ = budget_ == 0;
}

void Answer::end(StopReason reason) {
  if (!is_done_) out_.reason = reason;
  is_done_ = true;
}

Error Answer::no_token(int32_t why) const {
  const int64_t position = n_prompt_ + static_cast<int64_t>(out_.tokens.size()) - 1;
  if (why == Sampler::kAllRuledOut) {
    return invalid(
        "{}/generation_config.json: its rules leave no token after position {}; take a rule out of "
        "the file",
        model_.folder, position);
  }
  return corrupt(
      "{}: no logit at position {} is a number; the checkpoint's weights are damaged or overflow",
      model_.folder, position);
}

void Answer::emit(std::string_view text, std::optional<int32_t> token, const OnPiece& on_piece) {
  out_.text += text;
  if (!on_piece || (text.empty() && !token)) return;
  const bool has_logprobs = token && n_logprobs_;
  const Piece piece{text, token, has_logprobs ? &out_.logprobs.back() : nullptr};
  if (!on_piece(piece)) end(StopReason::kCancelled);
}

Status Answer::take(std::span<const float> logits, const OnPiece& on_piece) {
  LH_CHECK(!is_done_ && logits.size() == scratch_.size());
  std::copy(logits.begin(), logits.end(), scratch_.begin());
  const int32_t token = sampler_.sample(scratch_);
  if (token < 0) return no_token(token);
  out_.tokens.push_back(token);
  if (n_logprobs_) out_.logprobs.push_back(logprobs_of(logits, token, *n_logprobs_));
  const std::vector<int32_t>& ends = model_.defaults->eos_token_ids;
  std::string text;
  if (!ignore_eos_ && std::binary_search(ends.begin(), ends.end(), token)) {
    end(StopReason::kEndOfText);
  } else {
    sampler_.accept(token);
    if (detokenizer_) text = stop_.push(detokenizer_->push(token));
    if (stop_.found()) end(StopReason::kStopString);
  }
  emit(text, token, on_piece);
  if (out_.reason == StopReason::kCancelled) return {};
  if (static_cast<int64_t>(out_.tokens.size()) == budget_) is_done_ = true;
  if (!is_done_ || stop_.found() || !detokenizer_) return {};
  std::string rest = stop_.push(detokenizer_->flush());
  rest += stop_.flush();
  emit(rest, std::nullopt, on_piece);
  return {};
}

Generation Answer::finish() {
  is_done_ = true;
  out_.timings.generated_tokens = static_cast<int64_t>(out_.tokens.size());
  return std::move(out_);
}

TokenLogprobs logprobs_of(std::span<const float> logits, int32_t token, int64_t n_top) {
  TokenLogprobs result{.chosen = {token, logits[static_cast<size_t>(token)]}};
  std::vector<Logprob>& top = result.top;
  top.reserve(static_cast<size_t>(n_top) + 1);
  double largest = -INFINITY;
  for (size_t t = 0; t < logits.size(); ++t) {
    const float x = logits[t];
    largest = std::max(largest, static_cast<double>(x));
    const bool is_full = static_cast<int64_t>(top.size()) == n_top;
    if (std::isnan(x) || n_top == 0 || (is_full && !(x > top.back().logprob))) continue;
    // Behind its equals: the smaller id stands first.
    const auto at = std::upper_bound(top.begin(), top.end(), x,
                                     [](float a, const Logprob& b) { return a > b.logprob; });
    top.insert(at, {static_cast<int32_t>(t), x});
    if (is_full) top.pop_back();
  }
  double sum = 0;
  for (const float x : logits) {
    if (!std::isnan(x)) sum += std::exp(static_cast<double>(x) - largest);
  }
  const double total = largest + std::log(sum);
  const auto normalise = [&](Logprob& p) { p.logprob = static_cast<float>(p.logprob - total); };
  normalise(result.chosen);
  for (Logprob& p : top) normalise(p);
  return result;
}

}  // namespace longhaul
