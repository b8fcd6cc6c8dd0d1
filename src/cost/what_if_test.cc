#include "mechanisms/what_if.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "cost/cost_testing.h"

namespace longhaul {
namespace {

using testing::HasSubstr;

Architecture edited(std::string_view model, std::string_view edit) {
  auto arch = apply_what_if(described(model), edit);
  EXPECT_TRUE(arch.ok()) << (arch.ok() ? "" : arch.error().text());
  return arch.ok() ? std::move(*arch) : Architecture{};
}

std::string refusal(std::string_view model, std::string_view edit) {
  const auto arch = apply_what_if(described(model), edit);
  return arch.ok() ? std::string() : arch.error().text();
}

bool has_tensor(const Architecture& arch, std::string_view name) {
  return std::any_of(arch.tensors.begin(), arch.tensors.end(),
                     [&](const TensorSpec& t) { return t.name == name; });
}

bool ignores(const Architecture& arch, std::string_view name) {
  return std::any_of(arch.ignored.begin(), arch.ignored.end(),
                     [&](const IgnoredTensor& i) { return i.name == name; });
}

// What an executor and a loader rely on.
void expect_consistent(const Architecture& arch) {
  std::set<WeightId> used;
  for_each_weight(arch, [&](WeightId id) { used.insert(id); });
  EXPECT_EQ(used.size(), arch.weights.size());
  std::set<int32_t> tensors;
  for (const WeightSpec& w : arch.weights) {
    ASSERT_GE(w.tensor, 0);
    ASSERT_LT(static_cast<size_t>(w.tensor), arch.tensors.size());
    tensors.insert(w.tensor);
    EXPECT_LE((w.first_row + w.n_experts * w.rows) * w.cols,
              arch.tensors[static_cast<size_t>(w.tensor)].n_elements());
  }
  EXPECT_EQ(tensors.size(), arch.tensors.size());
  std::set<StateId> written;
  for (const Block& block : arch.blocks) {
    const auto* s = attention_of(block.mixer);
    if (s == nullptr) continue;
    const StateSpec& state = arch.state(s->state);
    EXPECT_EQ(state.n_kv_heads, s->n_kv_heads);
    EXPECT_EQ(state.head_dim, s->head_dim);
    EXPECT_EQ(state.window, s->window);
    EXPECT_EQ(s->n_heads % s->n_kv_heads, 0);
    EXPECT_LE(2 * s->rope.n_pairs, s->head_dim);
    EXPECT_EQ(arch.weight(s->q_proj).rows, s->n_heads * s->head_dim);
    EXPECT_EQ(arch.weight(s->o_proj).cols, s->n_heads * s->head_dim);
    EXPECT_EQ(arch.weight(s->q_norm->weight).cols, s->head_dim);
    if (!s->writes_state()) {
      EXPECT_TRUE(written.count(s->state));
      continue;
    }
    EXPECT_TRUE(written.insert(s->state).second);
    EXPECT_EQ(state.layer, block.layer);
    EXPECT_EQ(arch.weight(s->k_proj).rows, s->n_kv_heads * s->head_dim);
    EXPECT_EQ(arch.weight(s->k_norm->weight).cols, s->head_dim);
    if (s->v_proj != kNone) {
      EXPECT_EQ(arch.weight(s->v_proj).rows, s->n_kv_heads * s->head_dim);
    }
  }
  EXPECT_EQ(written.size(), arch.states.size());
}

TEST(WhatIf, EveryEditLeavesAConsistentDescription) {
  for (const char* model : kGemmaPresets) {
    expect_consistent(described(model));
    for (const char* first : what_if_names()) {
      auto once = apply_what_if(described(model), first);
      if (!once.ok()) continue;
      SCOPED_TRACE(std::string(model) + " " + first);
      expect_consistent(*once);
      for (const char* second : what_if_names()) {
        auto twice = apply_what_if(*once, second);
        if (!twice.ok()) continue;
        SCOPED_TRACE(second);
        expect_consistent(*twice);
      }
    }
  }
}

TEST(WhatIf, NoKvSharingReadsTheTensorsThatTheCheckpointHoldsUnread) {
  ASSERT_TRUE(ignores(described("gemma-4-E2B"), "layers.20.self_attn.k_proj.weight"));
  const Architecture arch = edited("gemma-4-E2B", "no-kv-sharing");
  for (const char* name : {"layers.20.self_attn.k_proj.weight", "layers.20.self_attn.v_proj.weight",
                           "layers.20.self_attn.k_norm.weight"}) {
    EXPECT_TRUE(has_tensor(arch, name)) << name;
    EXPECT_FALSE(ignores(arch, name)) << name;
  }
  EXPECT_EQ(arch.states.size(), 35u);
  EXPECT_EQ(arch.blocks[3 * 20 + 1].mixer.as<GatedMlpSpec>()->width,
            12288);  // stays as wide as it was
}

TEST(WhatIf, NoPleMovesTheLayersScaleToItsLastBlock) {
  const Architecture arch = edited("gemma-4-E2B", "no-ple");
  EXPECT_EQ(arch.blocks.size(), 70u);
  EXPECT_FALSE(has_tensor(arch, "embed_tokens_per_layer.weight"));
  EXPECT_TRUE(ignores(arch, "embed_tokens_per_layer.weight"));
  const WeightId scale = std::get<PlainResidual>(arch.blocks[1].residual).output_scale;
  ASSERT_NE(scale, kNone);
  EXPECT_EQ(arch.tensor_of(scale).name, "layers.0.layer_scalar");
  EXPECT_EQ(std::get<PlainResidual>(arch.blocks[0].residual).output_scale, kNone);
}

TEST(WhatIf, UniformHeadsGivesFullLayersAValueProjection) {
  const Architecture arch = edited("gemma-4-31B", "uniform-heads");
  const auto* s = attention_of(arch.blocks[2 * 5].mixer);
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->window, kUnbounded);
  EXPECT_EQ(s->head_dim, 256);
  EXPECT_EQ(s->n_kv_heads, 16);
  EXPECT_NE(s->v_proj, kNone);
  EXPECT_EQ(s->rope.n_pairs, 128);
  EXPECT_EQ(s->rope.live_pairs, 32);  // a quarter of the head, as before
  EXPECT_EQ(s->rope.denominator, 256);
}

TEST(WhatIf, NoWindowLeavesNoRings) {
  const Architecture arch = edited("gemma-4-26B-A4B", "no-window");
  EXPECT_TRUE(std::none_of(arch.states.begin(), arch.states.end(),
                           [](const StateSpec& s) { return s.is_ring(); }));
}

const CompressedAttentionSpec& compressed(const Architecture& arch, int64_t layer) {
  return *arch.blocks[static_cast<size_t>(2 * layer)].mixer.as<CompressedAttentionSpec>();
}

// Every weight and state in use once, and each tensor as large as what reads it.
void expect_whole(const Architecture& arch) {
  std::set<StateId> states;
  for_each_weight(arch, [&](WeightId id) {
    EXPECT_LE(arch.weight(id).rows * arch.weight(id).cols, arch.tensor_of(id).n_elements());
  });
  for (const Block& block : arch.blocks) {
    const auto* s = block.mixer.as<CompressedAttentionSpec>();
    if (s == nullptr) continue;
    states.insert(s->attention.state);
    if (s->compressor) states.insert({s->compressor->entries, s->compressor->open});
    if (s->indexer) states.insert({s->indexer->keys.entries, s->indexer->keys.open});
    for (const auto* c :
         {s->compressor ? &*s->compressor : nullptr, s->indexer ? &s->indexer->keys : nullptr}) {
      if (c == nullptr) continue;
      EXPECT_EQ(arch.state(c->entries).layer, block.layer);
      EXPECT_EQ(arch.state(c->entries).ratio, c->ratio);
      EXPECT_EQ(arch.state(c->open).fixed_elements, c->state_elements());
      EXPECT_EQ(arch.tensor_of(c->kv_proj).shape,
                (std::vector<int64_t>{c->series() * c->width, arch.hidden_size}));
      EXPECT_EQ(arch.tensor_of(c->kv_proj).name.find("layers." + std::to_string(block.layer) + "."),
                0u);
    }
  }
  EXPECT_EQ(states.size(), arch.states.size());
}

TEST(WhatIf, AllSparseGivesEveryLayerAnIndexer) {
  const Architecture arch = edited("deepseek-v4-flash", "all-sparse");
  expect_whole(arch);
  EXPECT_EQ(arch.states.size(), 43u * 5);
  for (const char* name :
       {"layers.0.attn.indexer.wq_b.weight", "layers.3.attn.indexer.compressor.wkv.weight"})
    EXPECT_TRUE(has_tensor(arch, name));
  EXPECT_EQ(compressed(arch, 0).attention.rope, compressed(arch, 2).attention.rope);
  EXPECT_EQ(compressed(arch, 0).attention.rope.theta,
            160000.0);  // a window alone turned with 10000
  EXPECT_THAT(refusal("gemma-4-31B", "all-sparse"), HasSubstr("no such layer"));
}

TEST(WhatIf, AllHeavyLeavesNoIndexer) {
  const Architecture arch = edited("deepseek-v4-flash", "all-heavy");
  expect_whole(arch);
  EXPECT_EQ(arch.states.size(), 43u * 3);
  EXPECT_FALSE(has_tensor(arch, "layers.2.attn.indexer.wq_b.weight"));
  EXPECT_TRUE(ignores(arch, "layers.2.attn.indexer.wq_b.weight"));
  EXPECT_FALSE(apply_what_if(arch, "no-top-k").ok());
  EXPECT_FALSE(apply_what_if(arch, "all-sparse").ok());  // nothing left to take as a model
}

TEST(WhatIf, NoTopKKeepsTheWeights) {
  const Architecture shipped = described("deepseek-v4-flash"),
                     arch = edited("deepseek-v4-flash", "no-top-k");
  expect_whole(arch);
  EXPECT_EQ(arch.tensors.size(), shipped.tensors.size());
  EXPECT_EQ(arch.ignored.size(), shipped.ignored.size());
  EXPECT_FALSE(compressed(arch, 2).follows_choice());
  EXPECT_TRUE(compressed(arch, 2).indexer);
}

TEST(WhatIf, AnUnknownNameListsTheKnownOnes) {
  const std::string message = refusal("gemma-4-E2B", "no-such-thing");
  EXPECT_THAT(message, HasSubstr("no-such-thing"));
  for (const char* name : what_if_names()) EXPECT_THAT(message, HasSubstr(name));
  EXPECT_STREQ(what_if_meaning("no-such-thing"), "");
}

TEST(WhatIf, AnEditWithNothingToChangeIsRefused) {
  EXPECT_THAT(refusal("gemma-4-31B", "no-ple"), HasSubstr("no per-layer embeddings"));
  EXPECT_THAT(refusal("gemma-4-31B", "no-kv-sharing"), HasSubstr("its own keys and values"));
  for (const char* edit : {"no-top-k", "all-sparse", "all-heavy", "no-hyper-connections"}) {
    const auto again = apply_what_if(edited("deepseek-v4-pro", edit), edit);
    ASSERT_FALSE(again.ok()) << edit;
    EXPECT_THAT(again.error().text(), HasSubstr(edit));
  }
  for (const char* edit : {"no-window", "mha", "uniform-heads", "no-kv-sharing", "no-ple"}) {
    const auto again = apply_what_if(edited("gemma-4-E2B", edit), edit);
    ASSERT_FALSE(again.ok()) << edit;
    EXPECT_THAT(again.error().text(), HasSubstr(edit));
  }
}

}  // namespace
}  // namespace longhaul
