// Small checkpoints under tests/golden, with what the reference implementation computed for them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "testing/test_session.h"

namespace longhaul::testing {

// "gemma/e2b" and so on: every folder that holds a golden.safetensors.
std::vector<std::string> golden_checkpoints();
std::string golden_folder(const std::string& name);

// What was chosen out of many at every token: "layers.3.experts" to a set for each token,
// ascending, without the -1 behind a short one.
using Choices = std::map<std::string, std::vector<std::vector<int32_t>>>;

struct GoldenCase {
  std::vector<int32_t> prompt;
  std::vector<float> logits;    // [T, V]
  std::vector<int32_t> greedy;  // the reference's continuation
  Choices chosen;  // at the prompt's tokens, then at the continuation's without its last
};
std::vector<GoldenCase> golden_cases(const std::string& name);

// Loads in f32, so that what differs from the reference is the order of sums alone.
LoadedModel load_f32(const std::string& name, LoadOptions options = {});
LoadedModel load_f32_from(const std::string& folder, LoadOptions options = {});

// Logits of all positions [T, V] of a new session.
std::vector<float> run_logits(const LoadedModel& model, const std::vector<int32_t>& tokens,
                              int64_t chunk);
// Runs `steps` one after the other and notes what is chosen on the way.
Choices run_choices(const LoadedModel& model, const std::vector<std::vector<int32_t>>& steps);
double max_difference(const std::vector<float>& a, const std::vector<float>& b);

inline std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

}  // namespace longhaul::testing
