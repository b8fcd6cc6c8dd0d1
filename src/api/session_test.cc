// Timelines: what is kept of a prompt, snapshots, files, and what an error leaves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "formats/formats_testing.h"
#include "longhaul/checkpoint.h"
#include "longhaul/generate.h"
#include "longhaul/session.h"

namespace longhaul {
namespace {

// A window wider than the second context: the saved ring is longer than one made for it.
constexpr const char* kConfig =
    R"({"model_type": "gemma4_text", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "global_head_dim": 16,
    "sliding_window": 128,
    "hidden_size_per_layer_input": 0, "max_position_embeddings": 512})";

std::vector<float> logits(Session& session, const std::vector<int32_t>& tokens) {
  std::vector<float> out;
  const Status status = session.evaluate(tokens, [&](int64_t, int64_t n, const float* row) {
    out.insert(out.end(), row, row + n * 32);
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.error().text();
  return out;
}

TEST(Session, AForkOfARestoredSessionReadsItsRing) {
  const TemporaryFolder folder;
  folder.write("config.json", kConfig);
  ASSERT_TRUE(synthesize(folder.path() + "/config.json", folder.path() + "/model",
                         {.dtype = WeightPrecision::kF32})
                  .ok());
  const auto load = [&](int64_t context) {
    return Model::load(folder.path() + "/model", {.weights = WeightPrecision::kF32,
                                                  .kv = CachePrecision::kF32,
                                                  .context = context,
                                                  .all_logits = true});
  };
  const std::vector<int32_t> head = {1, 5, 9, 2, 30, 7, 7, 3, 11, 4}, tail = {8, 1, 6, 20};
  const auto wide = load(300), narrow = load(60);
  ASSERT_TRUE(wide.ok() && narrow.ok());
  auto session = Session::create(*wide);
  logits(*session, head);
  ASSERT_TRUE(session->save(folder.path() + "/state").ok());
  const std::vector<float> expected = logits(*session, tail);
  auto restored = Session::restore(*narrow, folder.path() + "/state");
  ASSERT_TRUE(restored.ok()) << restored.error().text();
  auto fork = restored->fork();
  ASSERT_TRUE(fork.ok());
  EXPECT_EQ(logits(*restored, tail), expected);
  EXPECT_EQ(logits(*fork, tail), expected);
}

class Timelines : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.write("config.json", kConfig);
    ASSERT_TRUE(synthesize(folder_.path() + "/config.json", folder_.path() + "/model").ok());
    model_ = load(1);
  }

  std::shared_ptr<const Model> load(int64_t tokens_a_step) const {
    auto model = Model::load(
        folder_.path() + "/model",
        {.threads = 1, .context = 64, .max_batch_tokens = tokens_a_step, .all_logits = true});
    if (!model.ok()) throw std::runtime_error(model.error().text());
    return std::move(*model);
  }
  Session empty() const { return std::move(*Session::create(model_)); }
  std::string path() const { return folder_.path() + "/saved"; }

  static std::vector<int32_t> text(size_t n, int32_t seed = 0) {
    std::vector<int32_t> tokens;
    for (size_t t = 0; t < n; ++t)
      tokens.push_back((static_cast<int32_t>(t * 5 + t * t) + seed) % 32);
    return tokens;
  }
  static std::vector<int32_t> held(const Session& s) {
    return {s.tokens().begin(), s.tokens().end()};
  }
  static std::vector<float> last(const Session& s) {
    return {s.logits().begin(), s.logits().end()};
  }
  std::vector<float> cold(const std::vector<int32_t>& tokens) const {
    Session fresh = empty();
    EXPECT_TRUE(fresh.sync(tokens).ok());
    return last(fresh);
  }

  TemporaryFolder folder_;
  std::shared_ptr<const Model> model_;
};

TEST_F(Timelines, SyncReadsWhatIsNew) {
  Session s = empty();
  EXPECT_TRUE(s.tokens().empty() && s.logits().empty());
  EXPECT_EQ(*s.sync(text(20)), 20);
  EXPECT_EQ(*s.sync(text(20)), 0);
  EXPECT_EQ(*s.sync(text(30)), 10);
  EXPECT_EQ(held(s), text(30));
  EXPECT_EQ(last(s), cold(text(30)));
  EXPECT_EQ(*s.sync(text(25)), 25) << "what was read cannot be unread without a snapshot";
  EXPECT_EQ(last(s), cold(text(25)));
  EXPECT_EQ(*s.sync(text(25, 1)), 25);
  EXPECT_EQ(last(s), cold(text(25, 1)));
}

TEST_F(Timelines, SyncRewindsToTheLongestSnapshotThatThePromptBeginsWith) {
  Session s = empty();
  std::vector<Snapshot> snapshots;
  for (const size_t n : {10, 20, 30}) {
    ASSERT_TRUE(s.sync(text(n)).ok());
    snapshots.push_back(*s.snapshot());
  }
  std::vector<int32_t> other = text(25);
  other.push_back(31);
  EXPECT_EQ(*s.sync(other, snapshots), 6);
  EXPECT_EQ(last(s), cold(other));
  EXPECT_EQ(*s.sync(text(30), snapshots), 0);
  EXPECT_EQ(last(s), cold(text(30)));
  EXPECT_EQ(*s.sync(text(30, 1), snapshots), 30);
  ASSERT_TRUE(s.rewind(snapshots[0]).ok());
  EXPECT_EQ(held(s), text(10));
  EXPECT_EQ(last(s), cold(text(10)));
  const auto other_model = load(8);
  Session elsewhere = std::move(*Session::create(other_model));
  EXPECT_EQ(elsewhere.rewind(snapshots[0]).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Timelines, ErrorsLeaveWhatWasThere) {
  Session s = empty();
  ASSERT_TRUE(s.sync(text(20)).ok());
  const std::vector<float> before = last(s);
  for (const auto& [tokens, code] : {std::pair{std::vector<int32_t>{}, ErrorCode::kInvalidArgument},
                                     {{1, 2, 32}, ErrorCode::kInvalidArgument},
                                     {{-1}, ErrorCode::kInvalidArgument},
                                     {text(65), ErrorCode::kOverBudget}}) {
    EXPECT_EQ(s.sync(tokens).error().code, code);
    if (!tokens.empty()) {
      EXPECT_FALSE(s.append(tokens).ok());
    }
    EXPECT_EQ(held(s), text(20));
    EXPECT_EQ(last(s), before);
  }
  EXPECT_FALSE(Session::create(model_, {.max_tokens = 65}).ok());
  EXPECT_FALSE(Session::create(model_, {.max_tokens = -1}).ok());
}

TEST_F(Timelines, AStoppedPromptGoesOnWhereItWasStopped) {
  Session s = empty();
  int n_calls = 0;
  const auto stopped = s.sync(text(20), [&](int64_t n_done, int64_t n_total) {
    EXPECT_EQ(n_done, ++n_calls);
    EXPECT_EQ(n_total, 20);
    EXPECT_TRUE(n_done != 5 || s.save(path()).ok()) << "const methods may be called";
    return n_done < 12;
  });
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(s.tokens().size(), 12u);
  EXPECT_TRUE(s.logits().empty());
  EXPECT_EQ(*s.sync(text(20)), 8);
  EXPECT_EQ(last(s), cold(text(20)));
  auto restored = Session::restore(model_, path());
  ASSERT_TRUE(restored.ok()) << restored.error().text();
  EXPECT_EQ(*restored->sync(text(20)), 15);
  EXPECT_EQ(last(*restored), cold(text(20)));
}

TEST_F(Timelines, AFileHoldsTokensLogitsAndTheNote) {
  Session s = empty();
  ASSERT_TRUE(s.sync(text(20)).ok());
  s.set_note(std::string("a\0note", 6));
  ASSERT_TRUE(s.save(path()).ok());
  auto restored = Session::restore(model_, path());
  ASSERT_TRUE(restored.ok()) << restored.error().text();
  EXPECT_EQ(held(*restored), text(20));
  EXPECT_EQ(last(*restored), last(s));
  EXPECT_EQ(restored->note(), s.note());
  EXPECT_EQ(*restored->sync(text(20)), 0);
  EXPECT_EQ(*restored->sync(text(30)), 10);
  EXPECT_EQ(last(*restored), cold(text(30)));
  EXPECT_EQ(Session::restore(model_, path(), {.max_tokens = 10}).error().code,
            ErrorCode::kOverBudget);
}

TEST_F(Timelines, DamagedAndForeignFilesAreRefused) {
  EXPECT_EQ(Session::restore(model_, path()).error().code, ErrorCode::kNotFound);
  Session s = empty();
  ASSERT_TRUE(s.sync(text(20)).ok());
  ASSERT_TRUE(s.save(path()).ok());
  std::string bytes;
  {
    std::ifstream in(path(), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto code_of = [&](const std::string& damaged) {
    folder_.write("damaged", damaged);
    const auto restored = Session::restore(model_, folder_.path() + "/damaged");
    return restored.ok() ? std::string("restored") : to_string(restored.error().code);
  };
  const std::string corrupt = to_string(ErrorCode::kCorruptFile);
  for (size_t n = 0; n < bytes.size(); n += 1 + n / 3)
    EXPECT_EQ(code_of(bytes.substr(0, n)), corrupt);
  for (size_t at = 0; at < bytes.size(); at += 1 + at / 2) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_EQ(code_of(damaged), corrupt) << "byte " << at;
  }
  EXPECT_EQ(code_of(bytes), "restored");

  ASSERT_TRUE(
      synthesize(folder_.path() + "/config.json", folder_.path() + "/other", {.seed = 9}).ok());
  const auto other = Model::load(folder_.path() + "/other", {.context = 64});
  ASSERT_TRUE(other.ok());
  const auto foreign = Session::restore(*other, path());
  ASSERT_FALSE(foreign.ok());
  EXPECT_THAT(foreign.error().text(), ::testing::HasSubstr("another model"));
  EXPECT_EQ(s.save(folder_.path() + "/model/config.json").error().code,
            ErrorCode::kInvalidArgument);
}

TEST_F(Timelines, LogprobsAreThoseOfTheLogits) {
  Session s = empty();
  GenerateOptions options{.max_tokens = 1, .ignore_eos = true, .logprobs = 32};
  options.sampling.temperature = 0;
  options.sampling.logit_bias = {{7, 1000.0f}};
  const auto made = generate(s, text(10), options);
  ASSERT_TRUE(made.ok()) << made.error().text();
  EXPECT_EQ(made->tokens, std::vector<int32_t>{7}) << "the bias decides";
  ASSERT_EQ(made->logprobs.size(), 1u);
  const TokenLogprobs& l = made->logprobs.front();
  ASSERT_EQ(l.top.size(), 32u);
  double sum = 0;
  for (size_t i = 0; i < l.top.size(); ++i) {
    sum += std::exp(l.top[i].logprob);
    EXPECT_TRUE(i == 0 || l.top[i].logprob <= l.top[i - 1].logprob);
    if (l.top[i].token == 7) {
      EXPECT_EQ(l.top[i].logprob, l.chosen.logprob) << "of the raw logits";
    }
  }
  EXPECT_NEAR(sum, 1.0, 1e-5);  // 32 f32 roundings
  options.sampling.logit_bias = {{32, 1.0f}};
  EXPECT_EQ(generate(s, text(10), options).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace longhaul
