// Rules of generation_config.json against the reference: what they make of logits, and what the
// demo model writes under them. tools/make_sampling_goldens.py computed both.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "formats/config_reader.h"
#include "generate/sampler.h"
#include "longhaul/generate.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

const Json::Array& cases(const char* file) {
  static std::map<std::string, Json> files;
  Json& json = files[file];
  if (json.is_null())
    json = *read_json_file(std::string(LH_SOURCE_DIR) + "/tests/golden/sampling/" + file,
                           size_t{1} << 24);
  return *json.find("cases")->as_array();
}

std::vector<int32_t> ids(const Json& list) {
  std::vector<int32_t> out;
  for (const Json& id : *list.as_array()) out.push_back(static_cast<int32_t>(*id.as_int()));
  return out;
}

std::vector<float> floats(const Json& list) {
  std::vector<float> out;
  for (const Json& x : *list.as_array())
    out.push_back(x.is_null() ? -INFINITY : static_cast<float>(x.number()));
  return out;
}

// What default_sampling() of a model makes of the same file.
SamplingOptions sampling(const GenerationDefaults& d) {
  return {.temperature = d.do_sample.value_or(false) ? d.temperature.value_or(1.0) : 0.0,
          .top_k = d.top_k.value_or(0),
          .top_p = d.top_p.value_or(1.0),
          .min_p = d.min_p.value_or(0.0),
          .top_h = d.top_h.value_or(1.0),
          .typical_p = d.typical_p.value_or(1.0),
          .epsilon_cutoff = d.epsilon_cutoff.value_or(0.0),
          .eta_cutoff = d.eta_cutoff.value_or(0.0),
          .repetition_penalty = d.repetition_penalty.value_or(1.0),
          .no_repeat_ngram_size = d.no_repeat_ngram_size.value_or(0)};
}

TEST(SamplingGolden, LogitsAreWhatTheReferenceMakesOfThem) {
  for (const Json& c : cases("steps.json")) {
    const std::string name = *c.find("name")->as_string();
    const auto defaults =
        parse_generation_defaults(c.find("generation_config"), name, Json::object({}), "config");
    ASSERT_TRUE(defaults.ok()) << defaults.error().text();
    EXPECT_TRUE(defaults->notes.empty()) << name << ": " << defaults->notes.front();
    std::vector<float> logits = floats(*c.find("logits"));
    const std::vector<float> expected = floats(*c.find("processed"));
    Sampler sampler(sampling(*defaults), *defaults, static_cast<int64_t>(logits.size()),
                    ids(*c.find("prompt")), *c.find("max_tokens")->as_int());
    for (const int32_t token : ids(*c.find("answer"))) sampler.accept(token);
    sampler.sample(logits);
    if (!defaults->do_sample.value_or(false)) {
      for (size_t t = 0; t < logits.size(); ++t) {
        if (expected[t] == logits[t]) continue;  // infinite ones too
        EXPECT_NEAR(logits[t], expected[t], 1e-6f * std::fabs(expected[t]))
            << name << ", token " << t;
      }
      continue;
    }
    std::set<int32_t> drawn_from, allowed;
    for (const Sampler::Candidate& candidate : sampler.candidates())
      drawn_from.insert(candidate.token);
    for (size_t t = 0; t < expected.size(); ++t) {
      if (expected[t] > -INFINITY) allowed.insert(static_cast<int32_t>(t));
    }
    EXPECT_EQ(drawn_from, allowed) << name;
    const Sampler::Candidate& first = sampler.candidates().front();
    for (const Sampler::Candidate& candidate : sampler.candidates()) {
      const double apart = expected[static_cast<size_t>(candidate.token)] -
                           expected[static_cast<size_t>(first.token)];
      EXPECT_NEAR(candidate.weight / first.weight, std::exp(apart), 1e-5)
          << name << ", token " << candidate.token;
    }
  }
}

TEST(SamplingGolden, TheDemoWritesWhatTheReferenceWrites) {
  const fs::path demo = fs::path(LH_SOURCE_DIR) / "models" / "demo";
  std::string name = (fs::temp_directory_path() / "longhaul-test-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json"})
    fs::create_symlink(demo / file, fs::path(name) / file);
  for (const Json& c : cases("demo.json")) {
    const Json& generation = *c.find("generation_config");
    std::ofstream(name + "/generation_config.json") << generation.dump();
    auto model = Model::load(name, {.weights = WeightPrecision::kF32,
                                    .kv = CachePrecision::kF32,
                                    .threads = 1,
                                    .context = 64});
    ASSERT_TRUE(model.ok()) << model.error().text();
    auto session = Session::create(*model);
    GenerateOptions options;
    options.sampling = (*model)->default_sampling();
    options.max_tokens = *c.find("max_tokens")->as_int();
    const auto made = generate(*session, ids(*c.find("prompt")), options);
    ASSERT_TRUE(made.ok()) << made.error().text();
    EXPECT_EQ(made->tokens, ids(*c.find("tokens"))) << generation.dump();
  }
  fs::remove_all(name);
}

}  // namespace
}  // namespace longhaul
