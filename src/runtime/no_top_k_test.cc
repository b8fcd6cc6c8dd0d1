// What-if no-top-k, run: attention over all entries, while the indexer goes on choosing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "checkpoint/loader.h"
#include "checkpoint/match_tensors.h"
#include "cost/plan.h"
#include "formats/formats_testing.h"
#include "formats/safetensors.h"
#include "longhaul/checkpoint.h"
#include "mechanisms/what_if.h"
#include "models/registry.h"
#include "runtime/executor.h"

namespace longhaul {
namespace {

constexpr int64_t kTokens = 90;  // 22 entries of 4 tokens, 2 of 32

Json config(int64_t index_topk) {
  auto json = parse_json(
      R"({"model_type": "deepseek_v4", "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3,
      "num_attention_heads": 4, "head_dim": 16, "qk_rope_head_dim": 8, "q_lora_rank": 16,
      "o_groups": 2, "o_lora_rank": 8,
      "sliding_window": 8, "index_n_heads": 2, "index_head_dim": 16, "num_hash_layers": 0,
      "n_routed_experts": 4,
      "num_experts_per_tok": 2, "moe_intermediate_size": 16, "compress_rate_hca": 32,
      "layer_types": ["sliding_attention", "compressed_sparse_attention",
      "heavily_compressed_attention"]})",
      "config");
  EXPECT_TRUE(json.ok());
  json->set("index_topk", index_topk);
  return *json;
}

Architecture architecture(int64_t index_topk) {
  auto arch = read_architecture(config(index_topk), "config");
  EXPECT_TRUE(arch.ok()) << arch.error().text();
  return std::move(*arch);
}

struct Answer {
  std::vector<float> logits;  // of every token
  uint64_t flops = 0;
  Plan plan;
};

// All tokens in one step, every row through every block.
Answer run(const Architecture& arch, const std::string& folder) {
  const PlanRequest request{
      .context = kTokens, .weights = WeightFormat::kF32, .kv = DType::kF32, .chunk = kTokens};
  ThreadPool pool(1);
  auto source = open_checkpoint(folder);
  EXPECT_TRUE(source.ok()) << source.error().text();
  auto matched = match_weights(arch, std::move(*source));
  EXPECT_TRUE(matched.ok()) << matched.error().text();
  auto loaded = load_weights(arch, std::move(*matched), WeightFormat::kF32, pool, {});
  EXPECT_TRUE(loaded.ok()) << loaded.error().text();
  auto executor = Executor::create(arch, (*loaded)->weights, ref_kernels(), pool,
                                   step_limits(request), {.skip_unneeded_rows = false});
  auto sequence = Sequence::create(arch, DType::kF32, kTokens);
  EXPECT_TRUE(executor.ok() && sequence.ok());
  std::vector<int32_t> tokens;
  for (int64_t t = 0; t < kTokens; ++t)
    tokens.push_back(static_cast<int32_t>((t * 7 + 3) % arch.vocab_size));
  Answer r;
  const SequenceInput input{&*sequence, tokens, LogitsWanted::kAll};
  const Status status =
      executor->advance({&input, 1}, [&](size_t, int64_t, int64_t n, const float* logits) {
        r.logits.insert(r.logits.end(), logits, logits + n * arch.vocab_size);
        return true;
      });
  EXPECT_TRUE(status.ok());
  r.flops = executor->flops();
  r.plan = *make_plan(arch, request);
  return r;
}

float largest_difference(const Answer& a, const Answer& b) {
  EXPECT_EQ(a.logits.size(), b.logits.size());
  float largest = 0.0f;
  for (size_t i = 0; i < std::min(a.logits.size(), b.logits.size()); ++i)
    largest = std::max(largest, std::abs(a.logits[i] - b.logits[i]));
  return largest;
}

TEST(NoTopK, AttendsToAllEntriesAndCostsWhatIsPlanned) {
  const TemporaryFolder folder;
  const std::string config_path = folder.path() + "/tiny.json",
                    checkpoint = folder.path() + "/tiny";
  folder.write("tiny.json", config(3).dump());
  const Status written =
      synthesize(config_path, checkpoint, {.seed = 5, .dtype = WeightPrecision::kF32});
  ASSERT_TRUE(written.ok()) << written.error().text();

  auto edited = apply_what_if(architecture(3), "no-top-k");
  ASSERT_TRUE(edited.ok());
  const Answer shipped = run(architecture(3), checkpoint), all = run(*edited, checkpoint),
               wide = run(architecture(1000), checkpoint);
  // A choice of up to 1000 entries is of all there are; only the order of sums may differ.
  EXPECT_LT(largest_difference(all, wide), 1e-5f);
  EXPECT_GT(largest_difference(all, shipped), 1e-3f);
  // One row of logits is planned, and here there are as many as tokens.
  const uint64_t heads = static_cast<uint64_t>(kTokens - 1) * 2 * 50 * 32;
  EXPECT_EQ(all.flops, all.plan.prefill_flops + heads);
  EXPECT_EQ(shipped.flops, shipped.plan.prefill_flops + heads);
  EXPECT_GT(all.flops, shipped.flops);
}

}  // namespace
}  // namespace longhaul
