// The promise of the planner: what it says is what the engine does. Small models with every
// mechanism, run for real.
#include "mechanisms/what_if.h"
#include "models/gemma.h"
#include "models/registry.h"
#include "runtime/runtime_testing.h"

namespace longhaul {
namespace {

// Each model and what each edit makes of it.
std::vector<Architecture> models() {
  std::vector<Architecture> all;
  for (const Architecture& arch : small_models()) {
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

Plan plan_of(const Architecture& arch, const PlanRequest& request) {
  return must(make_plan(arch, request));
}

Sequence new_sequence(const Architecture& arch, DType dtype, int64_t max_tokens) {
  return must(Sequence::create(arch, dtype, max_tokens));
}

// A model ready to run what a request asks for.
struct Engine {
  Engine(const Architecture& architecture, const PlanRequest& request, bool skip)
      : arch(architecture),
        random(arch, request.weights),
        pool(request.n_threads),
        executor(must(Executor::create(arch, random.weights(), ref_kernels(), pool,
                                       step_limits(request), {.skip_unneeded_rows = skip}))) {}

  // Prefills in steps of `chunk` rows, only the last row's logits wanted.
  void prefill(Sequence& sequence, int64_t n_tokens, int64_t chunk) {
    for (int64_t done = 0; done < n_tokens; done += chunk) {
      const int64_t n = std::min(chunk, n_tokens - done);
      std::vector<int32_t> tokens;
      for (int64_t t = 0; t < n; ++t)
        tokens.push_back(static_cast<int32_t>((done + t) * 7 % arch.vocab_size));
      const SequenceInput input{&sequence, tokens,
                                done + n == n_tokens ? LogitsWanted::kLast : LogitsWanted::kNone};
      ASSERT_TRUE(
          executor.advance({&input, 1}, [](size_t, int64_t, int64_t, const float*) { return true; })
              .ok());
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
        const PlanRequest request{
            .context = kPrompt, .weights = WeightFormat::kF32, .kv = DType::kF32, .chunk = chunk};
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
                                                      {kQ8Codec, DType::kI8},
                                                      {kQ4Codec, DType::kBF16}};
    for (const auto& [weights, kv] : formats) {
      for (const int64_t context : {1, 7, 8, 17, 300}) {
        SCOPED_TRACE(arch.name + " context " + std::to_string(context));
        const PlanRequest request{.context = context,
                                  .batch = 3,
                                  .weights = weights,
                                  .kv = kv,
                                  .chunk = 40,
                                  .n_threads = 2};
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

// A step of as many rows and sequences as the limits allow must stay within the planned arena,
// which checks every taking.
TEST(PlanEqualsEngine, TheLargestStepStaysWithinTheScratch) {
  for (const Architecture& arch : models()) {
    for (const int64_t n_sequences : {1, 3, 8}) {
      SCOPED_TRACE(arch.name + " sequences " + std::to_string(n_sequences));
      const PlanRequest request{
          .context = 64, .batch = n_sequences, .chunk = 24, .logit_rows = 5, .n_threads = 2};
      Engine engine(arch, request, true);
      std::vector<Sequence> sequences;
      for (int64_t i = 0; i < n_sequences; ++i)
        sequences.push_back(new_sequence(arch, DType::kBF16, 64));
      const std::vector<int32_t> tokens(static_cast<size_t>(24 / n_sequences), 3);
      std::vector<SequenceInput> inputs;
      for (Sequence& s : sequences) inputs.push_back({&s, tokens, LogitsWanted::kAll});
      for (int round = 0; round < 2; ++round) {
        EXPECT_TRUE(
            engine.executor
                .advance(inputs, [](size_t, int64_t, int64_t, const float*) { return true; })
                .ok());
      }
    }
  }
}

}  // namespace
}  // namespace longhaul
