// What is kept and what is brought, and that what is brought is what the loader would have packed.
#include "checkpoint/expert_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "checkpoint/loader.h"
#include "checkpoint/match_tensors.h"
#include "formats/formats_testing.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "models/registry.h"

namespace longhaul {
namespace {

constexpr int64_t kLayers = 3, kExperts = 12, kTopK = 2;

Architecture architecture(
    const char* experts = R"("enable_moe_block": true, "num_experts": 12, "top_k_experts": 2)") {
  const auto config =
      parse_json(fmt::format(
                     R"({{"model_type": "gemma4_text", "vocab_size": 32, "hidden_size": 40,
              "intermediate_size": 12,
      "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4,
      "global_head_dim": 8, "sliding_window": 4,
      "layer_types": ["sliding_attention", "full_attention", "full_attention"],
      "moe_intermediate_size": 24,
      "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0, {}}})",
                     experts),
                 "config");
  EXPECT_TRUE(config.ok());
  auto arch = read_architecture(*config, "config");
  EXPECT_TRUE(arch.ok()) << arch.error().text();
  return std::move(*arch);
}

// A checkpoint of random bf16 values, loaded with a cache of so many slots, or none. Of the damaged
// expert, in all layers, a weight is no number.
class Loaded {
 public:
  explicit Loaded(int64_t n_slots, WeightFormat format = WeightFormat::kBF16,
                  std::optional<int64_t> damaged = {})
      : arch_(architecture()) {
    std::vector<TensorDecl> decls;
    for (const TensorSpec& t : arch_.tensors)
      decls.push_back({"model." + t.name, DType::kBF16, t.shape});
    auto writer = CheckpointWriter::create(folder_.path(), decls);
    EXPECT_TRUE(writer.ok());
    std::mt19937 random(5);
    for (const TensorSpec& t : arch_.tensors) {
      std::vector<bf16> values(static_cast<size_t>(t.n_elements()));
      for (bf16& v : values) v = to_bf16(std::uniform_real_distribution<float>(-1, 1)(random));
      if (damaged && t.shape.size() == 3)
        values[values.size() / kExperts * static_cast<size_t>(*damaged)] =
            to_bf16(std::numeric_limits<float>::quiet_NaN());
      EXPECT_TRUE(writer->write("model." + t.name, std::as_bytes(std::span(values))).ok());
    }
    EXPECT_TRUE(writer->finish().ok());
    auto source = open_checkpoint(folder_.path());
    EXPECT_TRUE(source.ok());
    std::optional<ExpertCacheLayout> layout;
    if (n_slots > 0) {
      const ExpertCacheLayout all =
          *expert_cache_layout(arch_, format, pool_.n_threads(), UINT64_MAX);
      layout =
          *expert_cache_layout(arch_, format, pool_.n_threads(),
                               static_cast<uint64_t>(n_slots) * all.slot_bytes + all.widen_bytes);
      EXPECT_EQ(layout->n_slots, n_slots);
    }
    auto matched = match_weights(arch_, std::move(*source));
    EXPECT_TRUE(matched.ok()) << matched.error().text();
    auto weights = load_weights(arch_, std::move(*matched), format, pool_, {}, layout);
    EXPECT_TRUE(weights.ok()) << weights.error().text();
    weights_ = std::move(*weights);
    mixtures_ = mixtures(arch_);
  }

  const Mixture& mixture(int64_t layer) const { return mixtures_[static_cast<size_t>(layer)]; }
  const Weights& weights() const { return weights_->weights; }
  ExpertCache& cache() { return *weights_->experts; }
  const ExpertStats& stats() const { return weights_->experts->stats(); }

  // One row to each of these experts of a layer; true where all of them were there.
  bool use(int64_t layer, std::initializer_list<int32_t> experts) {
    const int64_t misses = stats().misses;
    std::vector<ExpertRows> wanted;
    for (int32_t e : experts) wanted.push_back({e, 1});
    for (std::span left(wanted); !left.empty();)
      left =
          left.subspan(static_cast<size_t>(cache().acquire(mixture(layer).matrices.front(), left)));
    return stats().misses == misses;
  }

 private:
  TemporaryFolder folder_;
  Architecture arch_;
  ThreadPool pool_{2};
  std::unique_ptr<LoadedWeights> weights_;
  std::vector<Mixture> mixtures_;
};

TEST(ExpertCache, HoldsWhatTheLoaderWouldHavePacked) {
  for (const WeightFormat& format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat(kQ8Codec), WeightFormat(kQ4Codec)}) {
    Loaded resident(0, format), cached(kTopK, format);
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int32_t e = 0; e < kExperts; ++e) {
        cached.use(layer, {e});
        for (WeightId id : cached.mixture(layer).matrices) {
          const PackedMatrix expected = resident.weights().expert(id, e),
                             found = cached.weights().expert(id, e);
          ASSERT_EQ(found.n, expected.n);
          ASSERT_EQ(found.k, expected.k);
          ASSERT_EQ(found.codec, expected.codec);
          ASSERT_EQ(std::memcmp(found.data, expected.data, found.codec->bytes(found.n, found.k)), 0)
              << "layer " << layer << " expert " << e;
        }
      }
    }
  }
}

TEST(ExpertCache, WhatIsHereComesFirstThenAsManyAsFit) {
  Loaded model(4);
  model.use(1, {3, 7});
  std::vector<ExpertRows> wanted;
  for (int32_t e = 0; e < kExperts; ++e) wanted.push_back({e, 1 + e});
  std::vector<int64_t> waves;
  std::vector<int32_t> order;
  for (std::span left(wanted); !left.empty();) {
    const auto n =
        static_cast<size_t>(model.cache().acquire(model.mixture(1).matrices.front(), left));
    for (const ExpertRows& w : left.first(n)) {
      order.push_back(w.expert);
      EXPECT_EQ(w.n_rows, 1 + w.expert) << "rows move with their expert";
    }
    waves.push_back(static_cast<int64_t>(n));
    left = left.subspan(n);
  }
  EXPECT_THAT(waves, testing::ElementsAre(2, 4, 4, 2));
  EXPECT_THAT(order, testing::ElementsAre(3, 7, 0, 1, 2, 4, 5, 6, 8, 9, 10, 11));
  EXPECT_EQ(model.stats().hits, 2);
  EXPECT_EQ(model.stats().misses, 2 + 10);
}

TEST(ExpertCache, ADamagedExpertIsToldOfWheneverItIsChosenAndNoOther) {
  Loaded model(4, kQ8Codec, 5);
  model.use(1, {3, 7});
  EXPECT_FALSE(model.cache().take_damage());
  for (int round = 0; round < 2; ++round) {
    model.use(1, {3, 5});
    EXPECT_TRUE(model.cache().take_damage());
    EXPECT_FALSE(model.cache().take_damage());
    model.use(1, {3, 7});
    EXPECT_FALSE(model.cache().take_damage()) << "what is sound serves on";
  }
}

TEST(ExpertCache, AnExpertOfOneLayerIsNotThatOfAnother) {
  Loaded model(4);
  EXPECT_FALSE(model.use(0, {5}));
  EXPECT_FALSE(model.use(1, {5}));
  EXPECT_TRUE(model.use(0, {5}));
  EXPECT_TRUE(model.use(1, {5}));
}

// A long walk through all others, twice the cache and more, does not push out what is used again
// and again.
TEST(ExpertCache, KeepsWhatIsUsedOften) {
  Loaded model(6);
  for (int i = 0; i < 20; ++i) model.use(0, {1, 4});
  for (int32_t e = 0; e < kExperts; ++e) model.use(1, {e});
  for (int32_t e = 0; e < kExperts; ++e) model.use(2, {e});
  EXPECT_TRUE(model.use(0, {1, 4}));
}

// What was used often long ago makes room.
TEST(ExpertCache, UsesFade) {
  Loaded model(3);
  for (int i = 0; i < 100; ++i) model.use(0, {0, 1});
  for (int i = 0; i < 20000; ++i) model.use(0, {2});  // takes the place left
  for (int i = 0; i < 2; ++i) model.use(0, {3});      // that of 0 or 1
  model.use(0, {4});
  EXPECT_TRUE(model.use(0, {3})) << "two uses now are more than a hundred then";
  EXPECT_TRUE(model.use(0, {2, 4}));
}

TEST(ExpertCache, EvenChoicesHitAsOftenAsThePlanExpects) {
  constexpr int64_t kSlots = 15;
  Loaded model(kSlots);
  std::mt19937 random(3);
  const auto token = [&] {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      const auto a = static_cast<int32_t>(random() % kExperts),
                 b = static_cast<int32_t>((a + 1 + random() % (kExperts - 1)) % kExperts);
      model.use(layer, {a, b});
    }
  };
  for (int i = 0; i < 200; ++i) token();
  const ExpertStats before = model.stats();
  constexpr int64_t kTokens = 3000;
  for (int i = 0; i < kTokens; ++i) token();
  const double hits =
      static_cast<double>(model.stats().hits - before.hits) / (kTokens * kLayers * kTopK);
  EXPECT_NEAR(hits, static_cast<double>(kSlots) / (kLayers * kExperts), 0.05)
      << "those just brought are the first to go";
  EXPECT_EQ(model.stats().hits + model.stats().misses - before.hits - before.misses,
            kTokens * kLayers * kTopK);
}

TEST(ExpertCache, CountsTheBytesOfTheCheckpoint) {
  Loaded model(4, WeightFormat::kF32);
  model.use(2, {0, 1, 2});
  EXPECT_EQ(model.stats().read_bytes, 3u * 3 * 24 * 40 * 2)
      << "three matrices each, in bf16 as stored";
}

TEST(ExpertCache, IsOfNoUseWithoutExperts) {
  const auto layout = expert_cache_layout(architecture(R"("enable_moe_block": false)"),
                                          WeightFormat::kBF16, 1, 1 << 30);
  ASSERT_FALSE(layout.ok());
  EXPECT_EQ(layout.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(layout.error().text(), testing::HasSubstr("has no experts"));
}

}  // namespace
}  // namespace longhaul
