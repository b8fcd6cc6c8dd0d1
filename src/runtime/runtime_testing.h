// What tests of the engine share: small models with every mechanism, and weights made in memory.
#pragma once

#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

#include "cost/plan.h"
#include "mechanisms/resident_weights.h"
#include "models/gemma.h"
#include "models/registry.h"
#include "runtime/executor.h"

namespace longhaul {

// The value of a result that a test cannot go on without.
template <class T>
T must(Result<T> result) {
  LH_CHECK(result.ok());
  return std::move(*result);
}

// Random weights in memory, packed as the loader does.
class RandomWeights {
 public:
  RandomWeights(const Architecture& arch, const WeightFormat& format) {
    weights_ = empty_weights(arch, format);
    for (size_t i = 0; i < arch.weights.size(); ++i) add(arch.weights[i], i);
  }
  const Weights& weights() const { return weights_; }
  uint64_t resident_bytes() const { return resident_bytes_; }

 private:
  void add(const WeightSpec& w, size_t id) {
    if (w.use == WeightUse::kIndex) {
      indices_.push_back(std::vector<int64_t>(static_cast<size_t>(w.n_elements())));
      const auto limit = static_cast<uint64_t>(w.limit);
      for (int64_t& index : indices_.back()) index = static_cast<int64_t>(random_() % limit);
      const auto* data = reinterpret_cast<const std::byte*>(indices_.back().data());
      weights_.tables[id] = {data, DType::kI64, w.rows, w.cols};
      return;
    }
    values_.push_back(std::vector<float>(static_cast<size_t>(w.n_elements())));
    std::vector<float>& values = values_.back();
    std::uniform_real_distribution<float> uniform(-0.1f, 0.1f);
    for (float& v : values) v = uniform(random_);
    if (w.is_f32()) {
      weights_.vectors[id] = values;
      resident_bytes_ += values.size() * sizeof(float);
    } else if (w.use == WeightUse::kLookup) {
      const auto* data = reinterpret_cast<const std::byte*>(values.data());
      weights_.tables[id] = {data, DType::kF32, w.rows, w.cols};
    } else {
      add_matrix(values.data(), w, id);
    }
  }

  void add_matrix(const float* values, const WeightSpec& w, size_t id) {
    const Codec& codec = *weights_.matrices[id].codec;
    const uint64_t one = codec.bytes(w.rows, w.cols);
    packed_.push_back(must(Buffer::allocate(one * static_cast<uint64_t>(w.n_experts))));
    const Buffer& buffer = packed_.back();
    for (int64_t e = 0; e < w.n_experts; ++e) {
      const auto made = pack_rows(values + e * w.rows * w.cols, DType::kF32, w.rows, w.cols, codec,
                                  buffer.data() + static_cast<uint64_t>(e) * one);
      ASSERT_TRUE(made.ok());
    }
    weights_.matrices[id].data = buffer.data();
    resident_bytes_ += buffer.size();
  }

  std::mt19937 random_{7};
  Weights weights_;
  std::vector<std::vector<float>> values_;
  std::vector<std::vector<int64_t>> indices_;
  std::vector<Buffer> packed_;
  uint64_t resident_bytes_ = 0;
};

inline GemmaConfig small_config(const char* name) {
  GemmaConfig c;
  c.name = name;
  c.vocab_size = 61;
  c.hidden_size = 48;
  c.intermediate_size = 40;
  c.num_attention_heads = 4;
  c.sliding_window = 8;
  c.full_rope = {
      .type = RopeType::kProportional, .theta = 1e6, .partial_rotary_factor = 0.25, .factor = 1.0};
  return c;
}

// Caches shared across layers, per-layer embeddings, doubled widths.
inline Architecture sharing_model() {
  GemmaConfig c = small_config("sharing");
  for (int64_t l = 0; l < 7; ++l) c.layers.push_back({l % 3 == 2, l % 3 == 2 ? 32 : 16, 1, false});
  c.num_kv_shared_layers = 3;
  c.use_double_wide_mlp = true;
  c.hidden_size_per_layer_input = 16;
  c.vocab_size_per_layer_input = 61;
  return gemma_architecture(c);
}

// A mixture beside a dense MLP, values that are the keys' projection.
inline Architecture mixture_model() {
  GemmaConfig c = small_config("mixture");
  for (int64_t l = 0; l < 4; ++l)
    c.layers.push_back({l % 2 == 1, l % 2 == 1 ? 32 : 16, l % 2 == 1 ? 1 : 2, l % 2 == 1});
  c.num_experts = 6;
  c.top_k_experts = 2;
  c.moe_intermediate_size = 24;
  return gemma_architecture(c);
}

// Several streams; windows alone, chosen entries and all entries beside them; experts named by
// token ids.
inline Architecture compressing_model() {
  const Json config = must(parse_json(
      R"({"model_type": "deepseek_v4", "vocab_size": 61, "hidden_size": 48,
      "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 24, "qk_rope_head_dim": 8,
      "q_lora_rank": 20, "o_groups": 2, "o_lora_rank": 12, "sliding_window": 8,
      "index_n_heads": 3, "index_head_dim": 16, "index_topk": 3,
      "layer_types": ["sliding_attention", "compressed_sparse_attention",
                      "heavily_compressed_attention", "compressed_sparse_attention"],
      "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 16},
      "num_hash_layers": 1, "n_routed_experts": 6, "num_experts_per_tok": 2,
      "moe_intermediate_size": 24, "hc_mult": 3, "max_position_embeddings": 512})",
      "config"));
  Architecture arch = must(read_architecture(config, "config"));
  arch.name = "compressing";
  return arch;
}

// Queries and keys convolved over time; routers that hand their state on, and may choose no expert.
inline Architecture convolving_model() {
  const Json config = must(parse_json(
      R"({"model_type": "zaya", "vocab_size": 61, "hidden_size": 48, "num_hidden_layers": 3,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "num_experts": 3,
      "moe_intermediate_size": 24, "router_hidden_size": 20,
      "layer_types": ["hybrid", "hybrid_sliding", "hybrid"], "sliding_window": 8})",
      "config"));
  Architecture arch = must(read_architecture(config, "config"));
  arch.name = "convolving";
  return arch;
}

inline std::vector<Architecture> small_models() {
  return {sharing_model(), mixture_model(), compressing_model(), convolving_model()};
}

}  // namespace longhaul
