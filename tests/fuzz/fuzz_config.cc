// config.json through every getter of ConfigReader, and as generation defaults.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "check_error.h"
#include "formats/config_reader.h"
#include "formats/generation_config.h"
#include "generate/sampler.h"

namespace {

using namespace longhaul;

void read_fields(ConfigReader& reader) {
  const int64_t n_layers = reader.integer("num_hidden_layers", {.min = 1, .max = 100});
  LH_CHECK(n_layers >= 1 && n_layers <= 100);
  LH_CHECK(reader.number("rms_norm_eps", {.min = 0, .max = 1}, 1e-6) <= 1);
  LH_CHECK(reader.choice("hidden_act", {"silu", "gelu"}, 0) < 2);
  LH_CHECK(
      reader.choices("layer_types", {"full_attention", "sliding_attention"}, {.min = 0, .max = 8})
          .size() <= 8);
  reader.boolean("tie_word_embeddings", false);
  reader.string("model_type");
  reader.optional_integer("sliding_window");
  reader.optional_number("final_logit_softcapping");
  reader.optional_boolean("attention_bias");
  reader.optional_string("dtype");
  reader.integers("layers_block_type");
  reader.numbers("temperature");
  reader.booleans("flags");
  reader.strings("architectures");
  reader.integer_or_list("eos_token_id");
  reader.ignore("vision_config", "text only");
}

// A short answer under whatever rules the file has.
void choose_under(const GenerationDefaults& defaults) {
  const std::vector<int32_t> prompt = {2, 5, 2};
  for (const double temperature : {0.0, 1.0}) {
    const SamplingOptions options{
        .temperature = temperature,
        .top_k = defaults.top_k.value_or(0),
        .top_h = defaults.top_h.value_or(1.0),
        .typical_p = defaults.typical_p.value_or(1.0),
        .eta_cutoff = defaults.eta_cutoff.value_or(0.0),
        .repetition_penalty = defaults.repetition_penalty.value_or(1.0),
        .no_repeat_ngram_size = defaults.no_repeat_ngram_size.value_or(0)};
    Sampler sampler(options, defaults, 8, prompt, 3);
    for (int i = 0; i < 3; ++i) {
      std::vector<float> logits = {0.5f, -1.0f, 2.0f, 0.0f, 1.0f, -3.0f, 0.25f, 1.0f};
      const int32_t token = sampler.sample(logits);
      LH_CHECK(token == Sampler::kAllRuledOut || token == Sampler::kNoNumber ||
               (token >= 0 && token < 8));
      if (token < 0) break;
      sampler.accept(token);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = parse_json({reinterpret_cast<const char*>(data), size}, "input");
  if (!config.ok()) return 0;
  ConfigReader reader(*config, "input");
  read_fields(reader);
  if (auto text = reader.optional_child("text_config")) {
    read_fields(*text);
    for (const std::string& key : text->child("rope_parameters").keys())
      text->child("rope_parameters").optional_child(key);
  }
  LH_CHECK(reader.status().ok() || !reader.finish().ok());
  const auto defaults = parse_generation_defaults(&*config, "generation", *config, "config");
  if (!defaults.ok()) {
    check_error(defaults.error());
    return 0;
  }
  choose_under(*defaults);
  return 0;
}
