// A small random checkpoint with every kind of layer, written by synth: steps, saved states and
// choices.

#include <gtest/gtest.h>

#include <cmath>

#include "api/loaded_model.h"
#include "formats/formats_testing.h"
#include "longhaul/checkpoint.h"
#include "mechanisms/compressed_attention.h"

namespace longhaul {
namespace {

constexpr const char* kConfig =
    R"({"model_type": "deepseek_v4", "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 4,
    "num_attention_heads": 4, "head_dim": 16, "qk_rope_head_dim": 4, "q_lora_rank": 16,
    "o_groups": 2, "o_lora_rank": 8,
    "sliding_window": 8, "index_n_heads": 2, "index_head_dim": 16, "index_topk": 3,
    "compress_ratios": [0, 4, 128, 4, 0],
    "num_hash_layers": 2, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "hc_mult": 4,
    "max_position_embeddings": 1024})";

class DeepseekV4Model : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.write("tiny.json", kConfig);
    const Status status =
        synthesize(folder_.path() + "/tiny.json", checkpoint(), {.dtype = WeightPrecision::kF32});
    ASSERT_TRUE(status.ok()) << status.error().text();
  }
  std::string checkpoint() const { return folder_.path() + "/tiny"; }

  LoadedModel load(std::vector<std::string> overrides = {}) const {
    auto model = LoadedModel::load(checkpoint(), {.weights = WeightPrecision::kF32,
                                                  .kv = CachePrecision::kF32,
                                                  .threads = 2,
                                                  .context = 400,
                                                  .all_logits = true,
                                                  .config = {std::move(overrides)}});
    if (!model.ok()) throw std::runtime_error(model.error().text());
    return std::move(*model);
  }

  static std::vector<int32_t> tokens(int64_t n) {
    std::vector<int32_t> t;
    for (int64_t i = 0; i < n; ++i) t.push_back(static_cast<int32_t>((i * i + 7 * i) % 40));
    return t;
  }

  TemporaryFolder folder_;
};

// A sequence that is read with the logits of every token.
struct Reading {
  explicit Reading(const LoadedModel& m)
      : model(&m), sequence(std::move(*m.new_sequence(m.context))) {}
  Reading(const LoadedModel& m, Sequence s) : model(&m), sequence(std::move(s)) {}

  const LoadedModel* model;
  Sequence sequence;
};

void append(Reading& reading, std::span<const int32_t> tokens, std::vector<float>& out,
            int64_t chunk = 0) {
  while (!tokens.empty()) {
    const size_t n =
        chunk > 0 ? std::min(static_cast<size_t>(chunk), tokens.size()) : tokens.size();
    const SequenceInput input{&reading.sequence, tokens.first(n), LogitsWanted::kAll};
    const Status status = reading.model->step(
        std::span(&input, 1), [&](size_t, int64_t, int64_t n_rows, const float* logits) {
          out.insert(out.end(), logits, logits + n_rows * 40);
          return true;
        });
    ASSERT_TRUE(status.ok()) << status.error().text();
    tokens = tokens.subspan(n);
  }
}

std::vector<float> logits(const LoadedModel& model, const std::vector<int32_t>& tokens,
                          int64_t chunk = 0) {
  Reading reading(model);
  std::vector<float> out;
  append(reading, tokens, out, chunk);
  return out;
}

double max_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0.0;
  for (size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}));
  return std::isfinite(worst) ? worst : INFINITY;
}

// Chunks order f32 sums in other ways; logits here reach 4.
constexpr double kTolerance = 2e-5;

TEST_F(DeepseekV4Model, EverySplitOfAPromptGivesTheSameLogits) {
  const LoadedModel model = load();
  const std::vector<int32_t> prompt = tokens(150);
  const std::vector<float> whole = logits(model, prompt);
  ASSERT_EQ(whole.size(), 150u * 40u);
  for (float v : whole) ASSERT_TRUE(std::isfinite(v));
  std::vector<int64_t> cuts = {126, 127, 128, 129, 130, 131, 149};
  for (int64_t cut = 1; cut <= 16; ++cut) cuts.push_back(cut);
  for (int64_t cut : cuts) {
    Reading reading(model);
    std::vector<float> out;
    append(reading, {prompt.begin(), prompt.begin() + cut}, out);
    append(reading, {prompt.begin() + cut, prompt.end()}, out);
    EXPECT_LE(max_difference(out, whole), kTolerance) << "cut at " << cut;
  }
  EXPECT_LE(max_difference(logits(model, prompt, 1), whole), kTolerance) << "token by token";
}

TEST_F(DeepseekV4Model, SavedStatesGoOnWhereTheyStopped) {
  const LoadedModel model = load();
  const std::vector<int32_t> prompt = tokens(140);
  const std::string path = folder_.path() + "/state";
  for (int64_t cut : {1, 3, 4, 5, 7, 8, 9, 127, 128, 129, 131}) {
    Reading reading(model);
    std::vector<float> head, expected, forked, restored;
    append(reading, {prompt.begin(), prompt.begin() + cut}, head);
    ASSERT_TRUE(reading.sequence.save(path).ok());
    Reading fork(model, std::move(*reading.sequence.fork()));
    const std::vector<int32_t> rest(prompt.begin() + cut, prompt.end());
    append(reading, rest, expected);
    append(fork, rest, forked);
    auto from_file = Sequence::restore(*model.arch, path, model.context);
    ASSERT_TRUE(from_file.ok()) << from_file.error().text();
    Reading from(model, std::move(*from_file));
    append(from, rest, restored);
    EXPECT_EQ(max_difference(forked, expected), 0.0) << cut;
    EXPECT_EQ(max_difference(restored, expected), 0.0) << cut;
  }
}

// A prompt must not see what another one left in windows that were still open.
TEST_F(DeepseekV4Model, AShortPromptAfterALongOneIsAsIfItWereTheFirst) {
  const LoadedModel model = load();
  const std::vector<float> alone = logits(model, tokens(6));
  (void)logits(model, tokens(131));
  EXPECT_EQ(max_difference(logits(model, tokens(6)), alone), 0.0);
}

// The same weights, every entry seen: by an indexer that may keep them all, and by attention that
// has no indexer.
TEST_F(DeepseekV4Model, KeepingEveryEntryIsSeeingEveryEntry) {
  const std::vector<int32_t> prompt = tokens(150);
  const LoadedModel few = load(), all = load({"index_topk=37"});
  const std::vector<float> kept = logits(all, prompt);
  EXPECT_GT(max_difference(logits(few, prompt), kept), 1e-3) << "three entries are not enough";
  EXPECT_EQ(max_difference(logits(load({"index_topk=1000"}), prompt), kept), 0.0);

  const LoadedModel& m = all;
  Architecture dense = *m.arch;
  for (Block& block : dense.blocks) {
    if (auto* s = block.mixer.as<CompressedAttentionSpec>()) s->indexer.reset();
  }
  auto executor = Executor::create(dense, m.weights->weights, *m.kernels, *m.pool, m.limits);
  auto sequence = Sequence::create(dense, m.limits.kv, m.context);
  ASSERT_TRUE(executor.ok() && sequence.ok());
  std::vector<float> seen;
  const SequenceInput input{&*sequence, prompt, LogitsWanted::kAll};
  ASSERT_TRUE(executor
                  ->advance({&input, 1},
                            [&](size_t, int64_t, int64_t n, const float* row) {
                              seen.insert(seen.end(), row, row + n * 40);
                              return true;
                            })
                  .ok());
  EXPECT_EQ(max_difference(seen, kept), 0.0);
}

TEST_F(DeepseekV4Model, ChoicesAreOfWhatIsThere) {
  const LoadedModel model = load();
  int64_t entries = 0, experts = 0;
  model.executor->watch_choices([&](const Choice& c) {
    const bool of_entries = std::string(c.what) == "entries";
    for (int64_t row = 0; row < c.chosen.n; ++row) {
      // Row t of this prompt's one step sees floor((t + 1) / 4) entries; behind them stands -1.
      const int64_t n = of_entries ? (row + 1) / 4 : 4;
      for (int64_t i = 0; i < c.chosen.width; ++i) {
        const int32_t chosen = c.chosen.row(row)[i];
        EXPECT_TRUE(i < n ? chosen >= 0 && chosen < n : chosen == -1);
      }
    }
    ++(of_entries ? entries : experts);
  });
  (void)logits(model, tokens(60));
  model.executor->watch_choices({});
  EXPECT_EQ(entries, 2);
  EXPECT_EQ(experts, 4);
}

}  // namespace
}  // namespace longhaul
