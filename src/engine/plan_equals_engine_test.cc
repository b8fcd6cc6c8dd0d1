// The promise of the planner: what it says is what the engine does. Small models with every mechanism, run for real.
#include <gtest/gtest.h>

#include <random>

#include "cost/plan.h"
#include "cost/what_if.h"
#include "engine/executor.h"
#include "kernels/quantise.h"
#include "models/gemma.h"
#include "models/registry.h"

namespace longhaul {
namespace {

// The value of a result that a test cannot go on without.
template <class T>
T must(Result<T> result) {
  LH_CHECK(result.ok());
  return std::move(*result);
}

GemmaConfig small_config(const char* name) {
  GemmaConfig c;
  c.name = name;
  c.vocab_size = 61;
  c.hidden_size = 48;
  c.intermediate_size = 40;
  c.num_attention_heads = 4;
  c.sliding_window = 8;
  c.full_rope = {.type = RopeType::kProportional, .theta = 1e6, .partial_rotary_factor = 0.25, .factor = 1.0};
  return c;
}

// Caches shared across layers, per-layer embeddings, doubled widths.
Architecture sharing_model() {
  GemmaConfig c = small_config("sharing");
  for (int64_t l = 0; l < 7; ++l) c.layers.push_back({l % 3 == 2, l % 3 == 2 ? 32 : 16, 1, false});
  c.num_kv_shared_layers = 3;
  c.use_double_wide_mlp = true;
  c.hidden_size_per_layer_input = 16;
  c.vocab_size_per_layer_input = 61;
  return gemma_architecture(c);
}

// A mixture beside a dense MLP, values that are the keys' projection.
Architecture mixture_model() {
  GemmaConfig c = small_config("mixture");
  for (int64_t l = 0; l < 4; ++l) c.layers.push_back({l % 2 == 1, l % 2 == 1 ? 32 : 16, l % 2 == 1 ? 1 : 2, l % 2 == 1});
  c.num_experts = 6;
  c.top_k_experts = 2;
  c.moe_intermediate_size = 24;
  return gemma_architecture(c);
}

// Several streams; windows alone, chosen entries and all entries beside them; experts named by token ids.
Architecture compressing_model() {
  const Json config = must(parse_json(R"({"model_type": "deepseek_v4", "vocab_size": 61, "hidden_size": 48, "num_hidden_layers": 4,
      "num_attention_heads": 4, "head_dim": 24, "qk_rope_head_dim": 8, "q_lora_rank": 20, "o_groups": 2, "o_lora_rank": 12,
      "sliding_window": 8, "index_n_heads": 3, "index_head_dim": 16, "index_topk": 3,
      "layer_types": ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention", "compressed_sparse_attention"],
      "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 16}, "num_hash_layers": 1,
      "n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "hc_mult": 3, "max_position_embeddings": 512})",
                                      "config"));
  Architecture arch = must(read_architecture(config, "config"));
  arch.name = "compressing";
  return arch;
}

// Each model and what each edit makes of it.
std::vector<Architecture> models() {
  std::vector<Architecture> all;
  for (const Architecture& arch : {sharing_model(), mixture_model(), compressing_model()}) {
    all.push_back(arch);
    for (const char* edit : what_if_names()) {
      auto edited = apply_what_if(arch, edit);
      if (!edited.ok()) continue;
      edited->name += std::string(" ") + edit;
      all.push_back(std::move(*edited));
    }
  }
  return all;
}

// Random weights in memory, packed as the loader does.
class RandomWeights {
 public:
  RandomWeights(const Architecture& arch, WeightFormat format) {
    const size_t n = arch.weights.size();
    weights_ = {.format = format,
                .matrices = std::vector<PackedMatrix>(n),
                .vectors = std::vector<const float*>(n),
                .tables = std::vector<LookupTable>(n)};
    for (size_t i = 0; i < n; ++i) add(arch.weights[i], i);
  }
  const Weights& weights() const { return weights_; }
  uint64_t resident_bytes() const { return resident_bytes_; }

 private:
  void pack(const float* values, const WeightSpec& w, std::byte* out) const {
    const DType packed = packed_dtype(w, weights_.format);
    if (packed == DType::kQ8 || packed == DType::kQ4) {
      ASSERT_TRUE(quantise_rows(values, DType::kF32, 0, w.rows, w.cols, packed, out).ok());
    } else {
      pack_rows(values, DType::kF32, 0, w.rows, w.cols, packed, out);
    }
  }

  void add(const WeightSpec& w, size_t id) {
    if (w.use == WeightUse::kIndex) {
      indices_.push_back(std::vector<int64_t>(static_cast<size_t>(w.n_elements())));
      for (int64_t& index : indices_.back()) index = static_cast<int64_t>(random_() % static_cast<uint64_t>(w.limit));
      weights_.tables[id] = {reinterpret_cast<const std::byte*>(indices_.back().data()), DType::kI64, w.rows, w.cols};
      return;
    }
    values_.push_back(std::vector<float>(static_cast<size_t>(w.n_elements())));
    std::vector<float>& values = values_.back();
    std::uniform_real_distribution<float> uniform(-0.1f, 0.1f);
    for (float& v : values) v = uniform(random_);
    if (w.use == WeightUse::kVector) {
      weights_.vectors[id] = values.data();
      resident_bytes_ += values.size() * sizeof(float);
    } else if (w.use == WeightUse::kLookup) {
      weights_.tables[id] = {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, w.rows, w.cols};
    } else {
      const uint64_t one = packed_bytes(packed_dtype(w, weights_.format), w.rows, w.cols);
      packed_.push_back(must(Buffer::allocate(one * static_cast<uint64_t>(w.n_experts))));
      Buffer& buffer = packed_.back();
      for (int64_t e = 0; e < w.n_experts; ++e) {
        pack(values.data() + e * w.rows * w.cols, w, buffer.data() + static_cast<uint64_t>(e) * one);
      }
      weights_.matrices[id] = {buffer.data(), packed_dtype(w, weights_.format), w.rows, w.cols};
      resident_bytes_ += buffer.size();
    }
  }

  std::mt19937 random_{7};
  Weights weights_;
  std::vector<std::vector<float>> values_;
  std::vector<std::vector<int64_t>> indices_;
  std::vector<Buffer> packed_;
  uint64_t resident_bytes_ = 0;
};

Plan plan_of(const Architecture& arch, const PlanRequest& request) { return must(make_plan(arch, request)); }

Sequence new_sequence(const Architecture& arch, DType dtype, int64_t max_tokens) { return must(Sequence::create(arch, dtype, max_tokens)); }

// A model ready to run what a request asks for.
struct Engine {
  Engine(const Architecture& architecture, const PlanRequest& request, bool skip)
      : arch(architecture),
        random(arch, request.weights),
        pool(request.n_threads),
        executor(must(Executor::create(arch, random.weights(), ref_kernels(), pool, step_limits(request), {.skip_unneeded_rows = skip}))) {}

  // Prefills in steps of `chunk` rows, only the last row's logits wanted.
  void prefill(Sequence& sequence, int64_t n_tokens, int64_t chunk) {
    for (int64_t done = 0; done < n_tokens; done += chunk) {
      const int64_t n = std::min(chunk, n_tokens - done);
      std::vector<int32_t> tokens;
      for (int64_t t = 0; t < n; ++t) tokens.push_back(static_cast<int32_t>((done + t) * 7 % arch.vocab_size));
      const SequenceInput input{&sequence, tokens, done + n == n_tokens ? LogitsWanted::kLast : LogitsWanted::kNone};
      ASSERT_TRUE(executor.step({&input, 1}, [](size_t, int64_t, int64_t, const float*) { return true; }).ok());
    }
  }

  const Architecture& arch;
  RandomWeights random;
  ThreadPool pool;
  Executor executor;
};

TEST(PlanEqualsEngine, FlopsOfPromptsAndDecodeSteps) {
  constexpr int64_t kPrompt = 37;  // beyond the window, no multiple of a chunk
  for (const Architecture& arch : models()) {
    for (const bool skip : {true, false}) {
      for (const int64_t chunk : {1, 7, 64}) {
        SCOPED_TRACE(arch.name + " chunk " + std::to_string(chunk) + (skip ? "" : " every row"));
        const PlanRequest request{.context = kPrompt, .weights = WeightFormat::kF32, .kv = DType::kF32, .chunk = chunk};
        Engine engine(arch, request, skip);
        Sequence sequence = new_sequence(arch, DType::kF32, kPrompt + 1);
        engine.prefill(sequence, kPrompt, chunk);
        const Plan plan = plan_of(arch, request);
        EXPECT_EQ(engine.executor.flops(), skip ? plan.prefill_flops_skip : plan.prefill_flops);
        const uint64_t before = engine.executor.flops();
        engine.prefill(sequence, 1, 1);
        const Plan next = plan_of(arch, {.context = kPrompt + 1, .kv = DType::kF32});
        EXPECT_EQ(engine.executor.flops() - before, next.decode_flops_per_token);
        EXPECT_EQ(sequence.allocated_bytes(), next.state_bytes);
      }
    }
  }
}

TEST(PlanEqualsEngine, BytesOfWeightsStateAndScratch) {
  for (const Architecture& arch : models()) {
    const std::pair<WeightFormat, DType> formats[] = {{WeightFormat::kF32, DType::kF32},
                                                      {WeightFormat::kBF16, DType::kBF16},
                                                      {WeightFormat::kQ8, DType::kI8},
                                                      {WeightFormat::kQ4, DType::kBF16}};
    for (const auto& [weights, kv] : formats) {
      for (const int64_t context : {1, 7, 8, 17, 300}) {
        SCOPED_TRACE(arch.name + " context " + std::to_string(context));
        const PlanRequest request{.context = context, .batch = 3, .weights = weights, .kv = kv, .chunk = 40, .n_threads = 2};
        const Plan plan = plan_of(arch, request);
        Engine engine(arch, request, true);
        EXPECT_EQ(engine.random.resident_bytes(), plan.weight_bytes);
        EXPECT_EQ(engine.executor.scratch_bytes(), plan.scratch_bytes);
        uint64_t state = 0;
        for (int64_t i = 0; i < request.batch; ++i) {
          Sequence sequence = new_sequence(arch, kv, context);
          ASSERT_TRUE(sequence.reserve(context).ok());  // as every step does for its rows
          state += sequence.allocated_bytes();
        }
        EXPECT_EQ(state, plan.state_bytes);
      }
    }
  }
}

// A step of as many rows and sequences as the limits allow must stay within the planned arena, which checks every taking.
TEST(PlanEqualsEngine, TheLargestStepStaysWithinTheScratch) {
  for (const Architecture& arch : models()) {
    for (const int64_t n_sequences : {1, 3, 8}) {
      SCOPED_TRACE(arch.name + " sequences " + std::to_string(n_sequences));
      const PlanRequest request{.context = 64, .batch = n_sequences, .chunk = 24, .logit_rows = 5, .n_threads = 2};
      Engine engine(arch, request, true);
      std::vector<Sequence> sequences;
      for (int64_t i = 0; i < n_sequences; ++i) sequences.push_back(new_sequence(arch, DType::kBF16, 64));
      const std::vector<int32_t> tokens(static_cast<size_t>(24 / n_sequences), 3);
      std::vector<SequenceInput> inputs;
      for (Sequence& s : sequences) inputs.push_back({&s, tokens, LogitsWanted::kAll});
      for (int round = 0; round < 2; ++round) {
        EXPECT_TRUE(engine.executor.step(inputs, [](size_t, int64_t, int64_t, const float*) { return true; }).ok());
      }
    }
  }
}

}  // namespace
}  // namespace longhaul
