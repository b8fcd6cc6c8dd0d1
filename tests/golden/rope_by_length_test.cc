// rope_types whose angles differ with the length of the whole text, against the reference: a prompt
// in one pass, and the same text decoded. tools/make_rope_goldens.py computed both.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "testing/steps.h"

namespace longhaul::testing {
namespace {

constexpr double kTolerance = 2e-4;  // as for every other golden

struct Text {
  std::vector<int32_t> prompt;
  std::vector<float> whole, decoded;
  size_t split = 0;
};

template <class T>
std::vector<T> values(const TensorSource& source, const std::string& name) {
  const TensorInfo& t = *source.find(name);
  std::vector<T> out(t.bytes.size() / sizeof(T));
  std::memcpy(out.data(), t.bytes.data(), out.size() * sizeof(T));
  return out;
}

std::vector<Text> texts(const std::string& variant) {
  const auto source =
      open_safetensors(golden_folder("rope_by_length/" + variant) + "/answers.safetensors");
  EXPECT_TRUE(source.ok()) << source.error().text();
  std::vector<Text> all;
  for (int i = 0;; ++i) {
    const std::string end = "." + std::to_string(i);
    if (source->find("prompt" + end) == nullptr) return all;
    all.push_back({values<int32_t>(*source, "prompt" + end), values<float>(*source, "whole" + end),
                   values<float>(*source, "decoded" + end),
                   static_cast<size_t>(values<int32_t>(*source, "split" + end).front())});
  }
}

class RopeByLength : public ::testing::TestWithParam<std::string> {};

TEST_P(RopeByLength, APromptIsTurnedAsOneTextHoweverItIsCut) {
  const LoadedModel model = load_f32("rope_by_length/" + GetParam());
  ASSERT_FALSE(texts(GetParam()).empty());
  for (const Text& t : texts(GetParam())) {
    const std::vector<float> whole = run_logits(model, t.prompt, 0);
    EXPECT_LE(max_difference(whole, t.whole), kTolerance) << t.prompt.size() << " tokens";
    for (const int64_t chunk : {1, 3, 7, 11})
      EXPECT_EQ(difference(run_logits(model, t.prompt, chunk), whole, model.vocab_size()), "")
          << t.prompt.size() << " tokens by " << chunk;
  }
}

TEST_P(RopeByLength, WhatIsDecodedIsTurnedByTheLengthSoFar) {
  const LoadedModel model = load_f32("rope_by_length/" + GetParam());
  for (const Text& t : texts(GetParam())) {
    auto session = TestSession::create(model);
    std::vector<float> logits;
    const auto take = [&](std::vector<int32_t> tokens) {
      const Status status = session->logits(tokens, [&](int64_t, int64_t n, const float* l) {
        logits.insert(logits.end(), l, l + n * model.vocab_size());
        return true;
      });
      EXPECT_TRUE(status.ok()) << status.error().text();
    };
    take({t.prompt.begin(), t.prompt.begin() + static_cast<ptrdiff_t>(t.split)});
    for (size_t i = t.split; i < t.prompt.size(); ++i) take({t.prompt[i]});
    EXPECT_LE(max_difference(logits, t.decoded), kTolerance)
        << t.prompt.size() << " tokens, " << t.split << " at once";
  }
}

std::vector<std::string> variants() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder("rope_by_length")))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, RopeByLength, ::testing::ValuesIn(variants()), test_name);

}  // namespace
}  // namespace longhaul::testing
