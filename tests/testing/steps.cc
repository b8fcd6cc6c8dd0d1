#include "testing/steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "api/loaded_model.h"

namespace longhaul::testing {

std::vector<Format> formats_of(const std::string& checkpoint) {
  const LoadedModel model = load(checkpoint, {"auto", "bf16"});
  const auto& states = model.arch->states;
  std::vector<std::string> weights = {"f32", "bf16", "q8", "q4"}, kv = {"f32", "bf16", "q8"};
  if (model.limits.weights == WeightFormat::kReleased) weights.push_back("released");
  if (std::any_of(states.begin(), states.end(),
                  [](const StateSpec& s) { return s.released.coding != RowCoding::kPlain; }))
    kv.push_back("released");
  std::vector<Format> formats;
  for (const std::string& w : weights) {
    for (const std::string& k : kv) formats.push_back({w, k});
  }
  return formats;
}

LoadedModel load(const std::string& checkpoint, const Format& format, LoadOptions options,
                 ExecutorOptions executor_options) {
  options.weights = *parse_weights(format.weights);
  options.kv = *parse_cache(format.kv);
  if (options.context == 0) options.context = 512;
  if (options.threads == 0) options.threads = 1;
  options.all_logits = true;
  auto model = LoadedModel::load(golden_folder(checkpoint), options, executor_options);
  if (!model.ok()) throw std::runtime_error(model.error().text());
  return std::move(*model);
}

Sequence new_sequence(const LoadedModel& model, int64_t max_tokens) {
  const LoadedModel& m = model;
  auto s = Sequence::create(*m.arch, m.limits.kv, max_tokens == 0 ? m.context : max_tokens);
  if (!s.ok()) throw std::runtime_error(s.error().text());
  return std::move(*s);
}

std::vector<std::vector<float>> propose(const LoadedModel& model,
                                        const std::vector<SequenceInput>& inputs) {
  std::vector<std::vector<float>> out(inputs.size());
  const Status status =
      model.executor->step(inputs, [&](size_t sequence, int64_t, int64_t n, const float* logits) {
        out[sequence].insert(out[sequence].end(), logits, logits + n * model.vocab_size());
        return true;
      });
  EXPECT_TRUE(status.ok()) << status.error().text();
  return out;
}

std::vector<std::vector<float>> step(const LoadedModel& model,
                                     const std::vector<SequenceInput>& inputs) {
  std::vector<std::vector<float>> out = propose(model, inputs);
  EXPECT_TRUE(model.executor->commit().ok());
  return out;
}

Grid grid() {
  const char* asked = std::getenv("LONGHAUL_GRID");
  const std::string_view name = asked == nullptr ? "" : asked;
  return name == "full" ? Grid::kFull : name == "small" ? Grid::kSmall : Grid::kUsual;
}

std::vector<std::string> checkpoints_in_depth() {
  if (grid() != Grid::kSmall) return golden_checkpoints();
  return {"deepseek_v4/fp8_fp4", "deepseek_v4/narrow_window",
          "deepseek_v4/odd",     "deepseek_v4/released_original",
          "gemma/26b",           "gemma/e2b",
          "gemma/gemma3",        "gemma/sharing_odd",
          "gemma/window1",       "laguna/m1",
          "laguna/per_element",  "laguna/stacked",
          "zaya/skip",           "zaya/sliding",
          "zaya/time3_2"};
}

std::vector<Format> formats_in_depth(const std::string& checkpoint) {
  std::vector<Format> formats = formats_of(checkpoint), some;
  if (grid() == Grid::kFull) return formats;
  if (grid() == Grid::kSmall) return {formats.front(), formats.back()};
  const auto n_kv =
      static_cast<size_t>(std::count_if(formats.begin(), formats.end(), [&](const Format& f) {
        return f.weights == formats.front().weights;
      }));
  for (size_t w = 0; w * n_kv < formats.size(); ++w) some.push_back(formats[w * n_kv + w % n_kv]);
  return some;
}

std::vector<float> in_steps(const LoadedModel& model, Sequence& sequence,
                            std::span<const int32_t> tokens, const std::vector<size_t>& sizes) {
  std::vector<float> out;
  const int64_t text_length = sequence.length() + static_cast<int64_t>(tokens.size());
  for (size_t i = 0; !tokens.empty(); ++i) {
    const size_t n = std::min(sizes[i % sizes.size()], tokens.size());
    const std::vector<float> logits =
        step(model, {{&sequence, tokens.first(n), LogitsWanted::kAll, text_length}})[0];
    out.insert(out.end(), logits.begin(), logits.end());
    tokens = tokens.subspan(n);
  }
  return out;
}

std::vector<float> rows_of(const std::vector<float>& logits, size_t first, size_t n,
                           int64_t vocab) {
  const auto begin = logits.begin() + static_cast<int64_t>(first) * vocab;
  return {begin, begin + static_cast<int64_t>(n) * vocab};
}

std::string difference(std::span<const float> a, std::span<const float> b, int64_t vocab) {
  if (a.size() != b.size()) return fmt::format("{} logits and {}", a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) == 0) continue;
    return fmt::format("row {}, token {}: {} and {}", static_cast<int64_t>(i) / vocab,
                       static_cast<int64_t>(i) % vocab, a[i], b[i]);
  }
  return "";
}

}  // namespace longhaul::testing
