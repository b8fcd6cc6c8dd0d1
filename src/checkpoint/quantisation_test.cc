#include "checkpoint/quantisation.h"

#include <gmock/gmock.h>

#include "formats/formats_testing.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

Json json(const std::string& text) {
  auto parsed = parse_json(text, "a test's config");
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? std::move(*parsed) : Json();
}

Result<std::optional<Quantisation>> read(const std::string& config) {
  const Notices silent;
  Json parsed = json(config);
  return take_quantisation(parsed, "config.json");
}

Quantisation must_read(const std::string& config) {
  auto q = read(config);
  EXPECT_TRUE(q.ok() && *q) << (q.ok() ? "none" : q.error().text());
  return q.ok() && *q ? std::move(**q) : Quantisation();
}

std::string problem(const std::string& config) {
  const auto q = read(config);
  if (q.ok()) return *q ? "read" : "none";
  EXPECT_FALSE(q.error().remedy.empty()) << q.error().text();
  return q.error().text();
}

QuantScheme scheme(const Quantisation& q, std::string_view module) {
  const auto verdict = q.scheme_of(ModuleName(module));
  EXPECT_TRUE(verdict.ok() && verdict->scheme != nullptr) << module;
  return verdict.ok() && verdict->scheme != nullptr ? *verdict->scheme : QuantScheme{.bits = 0};
}
bool is_left_out(const Quantisation& q, std::string_view module) {
  const auto verdict = q.scheme_of(ModuleName(module));
  return verdict.ok() && verdict->is_named && verdict->scheme == nullptr;
}

TEST(Quantisation, IsTakenOutOfTheConfigWithItsCopies) {
  Json config = json(R"({"a": 1, "quantization": {"bits": 4, "group_size": 64},
    "quantization_config": {"bits": 4, "group_size": 64},
    "text_config": {"b": 2, "quantization": {"bits": 4, "group_size": 64}}})");
  const auto q = take_quantisation(config, "config.json");
  ASSERT_TRUE(q.ok() && *q);
  EXPECT_EQ((*q)->method, QuantMethod::kMlx);
  EXPECT_EQ(config.dump(), R"({"a":1,"text_config":{"b":2}})");
  EXPECT_EQ((*q)->source.dump(), R"({"quantization_config":{"bits":4,"group_size":64}})");
}

TEST(Quantisation, IsLeftWhereAnotherMethodMadeIt) {
  for (const char* method : {"bitsandbytes", "fp8", "quark", "longhaul"}) {
    const std::string text =
        std::string(R"({"quantization_config":{"quant_method":")") + method + R"("}})";
    Json config = json(text);
    const auto q = take_quantisation(config, "config.json");
    ASSERT_TRUE(q.ok());
    EXPECT_FALSE(*q);
    EXPECT_EQ(config.dump(), text);
  }
  EXPECT_EQ(problem(R"({"quantization_config": null, "quantization": {}})"), "none");
}

TEST(Quantisation, OfCompressedTensorsGoesByTheClosestTarget) {
  const Quantisation q = must_read(R"({"quantization_config": {
    "quant_method": "compressed-tensors", "format": "mixed-precision",
    "ignore": ["lm_head", "re:.*router.*"], "config_groups": {
      "group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}},
      "group_1": {"targets": ["re:.*layers\\.3[0-9]\\..*"], "format": "pack-quantized",
        "weights": {"num_bits": 8, "group_size": 128, "strategy": "group", "symmetric": false}},
      "group_2": {"targets": ["model.layers.31.mlp.up_proj"],
        "weights": {"num_bits": 8, "type": "float", "strategy": "block",
                    "block_structure": [128, 64]}}}}})");
  EXPECT_EQ(scheme(q, "model.layers.1.mlp.up_proj"), (QuantScheme{.bits = 4, .group_inputs = 128}));
  EXPECT_EQ(scheme(q, "model.layers.30.mlp.up_proj"),
            (QuantScheme{.bits = 8, .is_symmetric = false, .group_inputs = 128}));
  EXPECT_EQ(scheme(q, "model.layers.31.mlp.up_proj"), (QuantScheme{.bits = 8,
                                                                   .is_float = true,
                                                                   .spread = ScaleSpread::kBlock,
                                                                   .group_inputs = 64,
                                                                   .block_rows = 128}));
  EXPECT_TRUE(is_left_out(q, "lm_head"));
  EXPECT_TRUE(is_left_out(q, "model.layers.30.mlp.router"));
}

TEST(Quantisation, OfGptqMayDifferByModule) {
  const Quantisation q = must_read(R"({"quantization_config": {"quant_method": "gptq", "bits": 4,
    "group_size": 128, "sym": true, "desc_act": false, "dynamic": {
      "-:.*self_attn": {}, "+:.*down_proj": {"bits": 8, "group_size": 32}, ".*up_proj": {"bits": 2}
    }}})");
  EXPECT_TRUE(q.stores_zeros_less_one);
  EXPECT_TRUE(is_left_out(q, "model.layers.0.self_attn.q_proj"));
  EXPECT_EQ(scheme(q, "model.layers.0.mlp.down_proj"),
            (QuantScheme{.bits = 8, .group_inputs = 32}));
  EXPECT_EQ(scheme(q, "model.layers.0.mlp.up_proj").bits, 2);
  EXPECT_EQ(scheme(q, "model.layers.0.mlp.gate_proj"), (QuantScheme{.group_inputs = 128}));
  const Quantisation column = must_read(R"({"quantization_config": {"quant_method": "gptq",
    "bits": 8, "group_size": -1, "checkpoint_format": "gptq_v2"}})");
  EXPECT_FALSE(column.stores_zeros_less_one);
  EXPECT_EQ(scheme(column, "x").spread, ScaleSpread::kOutput);
}

TEST(Quantisation, OfMlxMayDifferByPath) {
  const Quantisation q = must_read(R"({"quantization": {"group_size": 64, "bits": 4,
    "language_model.model.embed_tokens": {"group_size": 32, "bits": 8},
    "language_model.model.layers.0.mlp.router": false,
    "language_model.model.layers.0.mlp.up_proj": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
    "language_model.model.layers.0.mlp.down_proj": true}})");
  EXPECT_EQ(scheme(q, "language_model.model.embed_tokens"),
            (QuantScheme{.bits = 8, .is_symmetric = false, .group_inputs = 32}));
  EXPECT_TRUE(is_left_out(q, "language_model.model.layers.0.mlp.router"));
  EXPECT_TRUE(scheme(q, "language_model.model.layers.0.mlp.up_proj").is_float);
  EXPECT_EQ(scheme(q, "language_model.model.layers.0.mlp.down_proj"),
            (QuantScheme{.bits = 4, .is_symmetric = false, .group_inputs = 64}));
}

TEST(Quantisation, OfGemmaTakesTheFirstExpressionThatIsFound) {
  const Quantisation q = must_read(R"({"quantization_config": {"quant_method": "gemma",
    "num_bits": 4, "quantize_embeddings": true, "modules_to_not_convert": ["vision_tower"],
    "module_quant_configs": {"layers\\.(1[5-9])\\.mlp": {"num_bits": 2},
                             "mlp": {"num_bits": 8}}}})");
  EXPECT_EQ(scheme(q, "model.layers.15.mlp.up_proj").bits, 2);
  EXPECT_EQ(scheme(q, "model.layers.14.mlp.up_proj").bits, 8);
  EXPECT_EQ(scheme(q, "model.layers.14.self_attn.q_proj").bits, 4);
  EXPECT_TRUE(is_left_out(q, "model.vision_tower.mlp"));
}

TEST(Quantisation, NamesWhatIsNotRead) {
  const auto ct = [](const std::string& weights) {
    return problem(R"({"quantization_config": {"quant_method": "compressed-tensors",
      "config_groups": {"g": {"targets": ["Linear"], "weights": {)" +
                   weights + "}}}}}");
  };
  EXPECT_EQ(ct(R"("num_bits": 8)"), "read");
  EXPECT_THAT(ct(R"("num_bits": 9)"), HasSubstr("config_groups.g.weights.num_bits: is 9"));
  EXPECT_THAT(ct(R"("num_bits": 6, "type": "float")"), HasSubstr("6 bits are not read of floats"));
  EXPECT_THAT(ct(R"("strategy": "token")"), HasSubstr("strategy: is 'token'"));
  EXPECT_THAT(ct(R"("strategy": "block")"), HasSubstr("block_structure"));
  EXPECT_THAT(ct(R"("strategy": "group")"), HasSubstr("group_size: missing"));
  EXPECT_THAT(ct(R"("dynamic": true)"), HasSubstr("weights are stored"));
  EXPECT_THAT(problem(R"({"quantization_config": {"quant_method": "compressed-tensors"}})"),
              HasSubstr("quantization_config.config_groups"));
  EXPECT_THAT(problem(R"({"quantization_config": {"quant_method": "gptq"}})"),
              HasSubstr("quantization_config.bits: null or missing"));
  EXPECT_THAT(problem(R"({"quantization_config": {"quant_method": "awq", "bits": 3}})"),
              HasSubstr("bits: is 3"));
  EXPECT_THAT(problem(R"({"quantization": {"bits": 7, "group_size": 64}})"),
              HasSubstr("quantization.bits: 2, 3, 4, 5, 6 and 8 are read"));
  EXPECT_THAT(problem(R"({"quantization_config": {"quant_method": "modelopt"}})"),
              HasSubstr("quant_algo"));
}

TEST(Quantisation, BoundsTheExpressionsOfAConfig) {
  std::string parts;
  for (int i = 0; i < 513; ++i) parts += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\"";
  EXPECT_THAT(problem(R"({"quantization_config": {"quant_method": "awq", "bits": 4,
                "group_size": 8, "modules_to_not_convert": [)" +
                      parts + "]}}"),
              HasSubstr("has more than 512 expressions and classes for modules"));
}

TEST(Quantisation, IsReadFromModelOptsFile) {
  const auto q = read_modelopt_file(json(R"({"producer": {"name": "modelopt"}, "quantization":
    {"quant_algo": "MIXED_PRECISION", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"],
     "quantized_layers": {"a.b": {"quant_algo": "FP8"}}}})"),
                                    "hf_quant_config.json");
  ASSERT_TRUE(q.ok()) << q.error().text();
  EXPECT_EQ(q->method, QuantMethod::kModelOpt);
  Json again = q->source;
  const Notices silent;
  const auto taken = take_quantisation(again, "config.json");
  ASSERT_TRUE(taken.ok() && *taken);
  EXPECT_EQ((*taken)->method, QuantMethod::kModelOpt);
  EXPECT_FALSE(read_modelopt_file(json("{}"), "hf_quant_config.json").ok());
}

}  // namespace
}  // namespace longhaul
