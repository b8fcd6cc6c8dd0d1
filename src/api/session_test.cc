// Sessions that were saved under one context and go on under another.

#include <gtest/gtest.h>

#include "formats/formats_testing.h"
#include "longhaul/model.h"
#include "longhaul/tools.h"

namespace longhaul {
namespace {

// A window wider than the second context: the saved ring is longer than one made for it.
constexpr const char* kConfig =
    R"({"model_type": "gemma4_text", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "global_head_dim": 16, "sliding_window": 128,
    "hidden_size_per_layer_input": 0, "max_position_embeddings": 512})";

std::vector<float> logits(Session& session, const std::vector<int32_t>& tokens) {
  std::vector<float> out;
  const Status status = session.logits(tokens, [&](int64_t, int64_t n, const float* row) {
    out.insert(out.end(), row, row + n * 32);
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.error().text();
  return out;
}

TEST(Session, AForkOfARestoredSessionReadsItsRing) {
  const TemporaryFolder folder;
  folder.write("config.json", kConfig);
  ASSERT_TRUE(
      synthesize(folder.path() + "/config.json", folder.path() + "/model", {.dtype = "f32"}).ok());
  const auto load = [&](int64_t context) {
    return Model::load(folder.path() + "/model",
                       {.weights = "f32", .kv = "f32", .context = context, .all_logits = true});
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

}  // namespace
}  // namespace longhaul
