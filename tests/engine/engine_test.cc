// Engines: every answer is that of a lone session, whatever runs beside it, and any thread may
// submit and cancel. Only the public headers are used.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "longhaul/checkpoint.h"
#include "longhaul/engine.h"

namespace longhaul {
namespace {

// A ring, pages and experts.
constexpr const char* kConfig =
    R"({"model_type": "gemma4_text", "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48,
  "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
  "global_head_dim": 16, "sliding_window": 24, "layer_types": ["sliding_attention",
  "full_attention"],
  "hidden_size_per_layer_input": 0, "enable_moe_block": true, "num_experts": 4, "top_k_experts": 2,
  "moe_intermediate_size": 16, "max_position_embeddings": 512})";

class Engines : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string folder = (std::filesystem::temp_directory_path() / "longhaul-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    std::ofstream(folder + "/tiny.json") << kConfig;
    const Status written = synthesize(folder + "/tiny.json", folder + "/model", {.seed = 3});
    ASSERT_TRUE(written.ok()) << written.error().text();
    alone_ = load(folder + "/model", 64, 1);
    shared_ = load(folder + "/model", 32, 3);
    uint64_t bytes = 0;  // of a whole session
    {
      auto session = Session::create(shared_);
      ASSERT_TRUE(session.ok() && session->append(prompt_of(0, 256)).ok());
      bytes = session->state_bytes();
    }
    tight_ = load(folder + "/model", 32, 3, bytes + bytes / 2);
    std::filesystem::remove_all(folder);
  }
  static void TearDownTestSuite() {
    alone_.reset();
    shared_.reset();
    tight_.reset();
  }

  static std::shared_ptr<const Model> load(const std::string& folder, int64_t tokens,
                                           int64_t sequences, uint64_t session_memory = 0) {
    auto model = Model::load(folder, {.threads = 2,
                                      .context = 256,
                                      .max_batch_tokens = tokens,
                                      .max_batch_sequences = sequences,
                                      .session_memory = session_memory});
    if (!model.ok()) throw std::runtime_error(model.error().text());
    return std::move(*model);
  }

  static std::vector<int32_t> prompt_of(size_t i, size_t n) {
    std::vector<int32_t> tokens;
    for (size_t t = 0; t < n; ++t)
      tokens.push_back(static_cast<int32_t>((t * 7 + t * t + i * 13 + 5) % 96));
    return tokens;
  }

  // Prompts shorter and longer than a step, greedy and sampled.
  static std::vector<Request> requests() {
    std::vector<Request> all;
    for (const size_t n : {40, 1, 100, 33, 7, 64}) {
      Request r{.prompt = prompt_of(all.size(), n)};
      r.options.sampling.temperature = all.size() % 2 == 0 ? 0.0 : 1.0;
      r.options.sampling.seed = 40 + all.size();
      r.options.max_tokens = 12 + static_cast<int64_t>(all.size());
      r.options.ignore_eos = true;
      r.options.logprobs = 3;
      all.push_back(std::move(r));
    }
    return all;
  }

  static Generation of_lone_session(const Request& request) {
    auto session = Session::create(alone_);
    EXPECT_TRUE(session.ok());
    auto made = generate(*session, request.prompt, request.options);
    EXPECT_TRUE(made.ok()) << made.error().text();
    return std::move(*made);
  }

  // tight_: memory for one and a half sessions
  static std::shared_ptr<const Model> alone_, shared_, tight_;
};

std::shared_ptr<const Model> Engines::alone_, Engines::shared_, Engines::tight_;

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

void expect_same(const Generation& a, const Generation& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.reason, b.reason);
  ASSERT_EQ(a.logprobs.size(), a.tokens.size());
  ASSERT_EQ(b.logprobs.size(), a.tokens.size());
  for (size_t i = 0; i < a.tokens.size(); ++i) {
    EXPECT_EQ(a.logprobs[i].chosen.token, a.tokens[i]);
    EXPECT_TRUE(same_bits(a.logprobs[i].chosen.logprob, b.logprobs[i].chosen.logprob)) << i;
    ASSERT_EQ(a.logprobs[i].top.size(), b.logprobs[i].top.size());
    for (size_t k = 0; k < a.logprobs[i].top.size(); ++k) {
      EXPECT_EQ(a.logprobs[i].top[k].token, b.logprobs[i].top[k].token);
      EXPECT_TRUE(same_bits(a.logprobs[i].top[k].logprob, b.logprobs[i].top[k].logprob));
    }
  }
}

std::unique_ptr<Engine> engine_of(const std::shared_ptr<const Model>& model,
                                  const EngineOptions& options) {
  auto engine = Engine::create(model, options);
  if (!engine.ok()) throw std::runtime_error(engine.error().text());
  return std::move(*engine);
}

TEST_F(Engines, EveryAnswerIsThatOfALoneSession) {
  std::map<RequestId, Generation> made;
  std::map<RequestId, std::vector<int32_t>> streamed;
  std::vector<RequestId> ids;
  const auto engine = engine_of(shared_, {.own_thread = false});
  for (Request& request : requests()) {
    const auto id = engine->submit(std::move(request), [&](const Event& event) {
      if (event.kind == Event::Kind::kPiece && event.piece.token)
        streamed[event.id].push_back(*event.piece.token);
      if (event.kind != Event::Kind::kFinished) return;
      ASSERT_EQ(event.error, nullptr);
      made[event.id] = std::move(*event.generation);
    });
    ASSERT_TRUE(id.ok());
    ids.push_back(*id);
  }
  EXPECT_EQ(engine->n_unfinished(), 6);
  while (engine->step()) {
  }
  EXPECT_EQ(engine->n_unfinished(), 0);
  const std::vector<Request> asked = requests();
  for (size_t i = 0; i < asked.size(); ++i) {
    SCOPED_TRACE(i);
    expect_same(of_lone_session(asked[i]), made[ids[i]]);
    EXPECT_EQ(streamed[ids[i]], made[ids[i]].tokens);
    EXPECT_EQ(made[ids[i]].timings.prompt_tokens, static_cast<int64_t>(asked[i].prompt.size()));
  }
}

TEST_F(Engines, ACancelledRequestLeavesTheOthersAsTheyAre) {
  for (const int n_steps : {0, 1, 3, 6}) {
    SCOPED_TRACE(n_steps);
    std::map<RequestId, Generation> made;
    const auto engine = engine_of(shared_, {.own_thread = false});
    std::vector<RequestId> ids;
    for (Request& request : requests())
      ids.push_back(*engine->submit(std::move(request), [&](const Event& event) {
        if (event.kind == Event::Kind::kFinished) made[event.id] = std::move(*event.generation);
      }));
    for (int i = 0; i < n_steps; ++i) engine->step();
    EXPECT_TRUE(engine->cancel(ids[0]));
    EXPECT_TRUE(engine->cancel(ids[5]));  // which waits
    while (engine->step()) {
    }
    EXPECT_FALSE(engine->cancel(ids[0]));
    const std::vector<Request> asked = requests();
    for (const size_t i : {1, 2, 3, 4}) expect_same(of_lone_session(asked[i]), made[ids[i]]);
    const Generation whole = of_lone_session(asked[0]);
    const std::vector<int32_t>& cut = made[ids[0]].tokens;
    EXPECT_EQ(made[ids[0]].reason, StopReason::kCancelled);
    EXPECT_EQ(made[ids[5]].reason, StopReason::kCancelled);
    ASSERT_LT(cut.size(), whole.tokens.size());
    EXPECT_TRUE(std::equal(cut.begin(), cut.end(), whole.tokens.begin()));
  }
}

TEST_F(Engines, ASessionIsGoneOnFromAndHandedBack) {
  std::vector<int32_t> prompt = prompt_of(2, 50);
  Request whole{.prompt = prompt};
  whole.options.max_tokens = 8;
  whole.options.ignore_eos = true;
  whole.options.logprobs = 1;
  whole.options.sampling.temperature = 0;
  const Generation expected = of_lone_session(whole);
  for (const size_t n_held : {size_t{0}, size_t{20}, prompt.size()}) {
    auto session = Session::create(shared_);
    ASSERT_TRUE(session.ok());
    ASSERT_TRUE(session->append(std::span(prompt).first(n_held)).ok());
    Request request{.prompt = prompt, .options = whole.options};
    request.session.emplace(std::move(*session));
    Generation made;
    std::vector<int32_t> tokens;
    const auto engine = engine_of(shared_, {.own_thread = false});
    ASSERT_TRUE(engine
                    ->submit(std::move(request),
                             [&](const Event& event) {
                               if (event.kind != Event::Kind::kFinished) return;
                               ASSERT_NE(event.session, nullptr);
                               const auto held = event.session->tokens();
                               tokens.assign(held.begin(), held.end());
                               made = std::move(*event.generation);
                             })
                    .ok());
    while (engine->step()) {
    }
    expect_same(expected, made);
    EXPECT_EQ(made.timings.reused_tokens, static_cast<int64_t>(n_held));
    std::vector<int32_t> all = prompt;
    all.insert(all.end(), made.tokens.begin(), made.tokens.end() - 1);
    EXPECT_EQ(tokens, all) << "all but the last token, which is not read";
  }
}

// Requests whose memory is held by others wait for it; one for which there is none fails alone.
TEST_F(Engines, RequestsWaitForMemory) {
  EXPECT_EQ(tight_->tokens_that_fit(), 256);
  std::map<RequestId, Generation> made;
  std::vector<RequestId> ids;
  const auto engine = engine_of(tight_, {.own_thread = false});
  for (Request& request : requests())
    ids.push_back(*engine->submit(std::move(request), [&](const Event& event) {
      if (event.kind != Event::Kind::kFinished) return;
      ASSERT_EQ(event.error, nullptr) << event.error->text();
      made[event.id] = std::move(*event.generation);
    }));
  while (engine->step()) {
  }
  const std::vector<Request> asked = requests();
  for (size_t i = 0; i < asked.size(); ++i) expect_same(of_lone_session(asked[i]), made[ids[i]]);

  auto held = Session::create(tight_);
  ASSERT_TRUE(held.ok() && held->append(prompt_of(0, 256)).ok());
  EXPECT_LT(tight_->tokens_that_fit(), 256);
  std::string code;
  Request large{.prompt = prompt_of(1, 100)};
  large.options.max_tokens = 156;
  ASSERT_TRUE(engine
                  ->submit(std::move(large),
                           [&](const Event& event) {
                             if (event.error != nullptr) code = to_string(event.error->code);
                           })
                  .ok());
  while (engine->step()) {
  }
  EXPECT_EQ(code, to_string(ErrorCode::kOverBudget))
      << "nobody runs whose memory it could wait for";
}

TEST_F(Engines, WhatCannotBeAnsweredIsRefusedAtOnce) {
  const auto engine = engine_of(shared_, {.max_waiting = 0, .own_thread = false});
  const auto submit = [&](std::vector<int32_t> prompt, GenerateOptions options = {}) {
    const auto id = engine->submit({.prompt = std::move(prompt), .options = options}, {});
    return id.ok() ? std::string() : to_string(id.error().code);
  };
  GenerateOptions hot;
  hot.sampling.temperature = -1;
  EXPECT_EQ(submit({}), to_string(ErrorCode::kInvalidArgument));
  EXPECT_EQ(submit({96}), to_string(ErrorCode::kInvalidArgument));
  EXPECT_EQ(submit({1}, hot), to_string(ErrorCode::kInvalidArgument));
  EXPECT_EQ(submit(prompt_of(0, 257)), to_string(ErrorCode::kOverBudget));
  Request other{.prompt = {1}};
  other.session.emplace(std::move(*Session::create(alone_)));
  EXPECT_EQ(engine->submit(std::move(other), {}).error().code, ErrorCode::kInvalidArgument);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(submit({1, 2}), "");
  EXPECT_EQ(submit({1, 2}), to_string(ErrorCode::kOverBudget)) << "none may wait";
  EXPECT_FALSE(engine->cancel(999));
  EXPECT_FALSE(Engine::create(shared_, {.max_sequences = 4}).ok());
}

TEST_F(Engines, TheEndOfAnEngineIsToldToEveryRequest) {
  for (const bool own_thread : {false, true}) {
    std::atomic<int> n_finished = 0, n_cancelled = 0;
    {
      const auto engine = engine_of(shared_, {.own_thread = own_thread});
      for (int i = 0; i < 7; ++i) {
        Request request{.prompt = prompt_of(1, 100)};
        request.options.max_tokens = 100;
        request.options.ignore_eos = true;
        ASSERT_TRUE(engine
                        ->submit(std::move(request),
                                 [&](const Event& event) {
                                   if (event.kind != Event::Kind::kFinished) return;
                                   ++n_finished;
                                   if (event.generation->reason == StopReason::kCancelled)
                                     ++n_cancelled;
                                 })
                        .ok());
      }
    }
    EXPECT_EQ(n_finished, 7);
    EXPECT_GT(n_cancelled, 0);
  }
}

// Each thread submits, waits for some of its answers, cancels others, and asks anew. Every request
// has its one last event, and what was not cancelled is what a lone session makes.
TEST_F(Engines, EightThreadsSubmitAndCancel) {
  const char* seconds = std::getenv("LONGHAUL_ENGINE_SECONDS");
  const auto end = std::chrono::steady_clock::now() +
                   std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 2);
  const std::vector<Request> asked = requests();
  std::vector<Generation> expected;
  for (const Request& request : asked) expected.push_back(of_lone_session(request));

  std::atomic<int64_t> n_submitted = 0, n_finished = 0, n_whole = 0, n_wrong = 0;
  const auto engine = engine_of(shared_, {});
  const auto ask = [&](size_t i) {
    const auto id = engine->submit(
        {.prompt = asked[i].prompt, .options = asked[i].options}, [&, i](const Event& event) {
          if (event.kind != Event::Kind::kFinished) return;
          ++n_finished;
          const bool is_whole =
              event.error == nullptr && event.generation->reason == StopReason::kLength;
          n_whole += is_whole ? 1 : 0;
          n_wrong += is_whole && event.generation->tokens != expected[i].tokens ? 1 : 0;
        });
    n_submitted += id.ok() ? 1 : 0;
    return id;
  };
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (size_t n = t; std::chrono::steady_clock::now() < end; ++n) {
        const auto id = ask(n % asked.size());
        if (n % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(n % 7));
        if (id.ok() && n % 2 == 0) engine->cancel(*id);
        while (engine->n_unfinished() > 40) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (engine->n_unfinished() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(n_finished, n_submitted);
  EXPECT_GT(n_whole, 0);
  EXPECT_LT(n_whole, n_finished) << "some were cancelled";
  EXPECT_EQ(n_wrong, 0);
}

}  // namespace
}  // namespace longhaul
