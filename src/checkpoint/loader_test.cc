// Which checkpoints fit a description, and what is said about those that do not.

#include "checkpoint/loader.h"
#include "checkpoint/match_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "checkpoint/shared_tensors.h"
#include "formats/formats_testing.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "models/registry.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Decls = std::vector<TensorDecl>;

constexpr const char* kPrefix = "model.language_model.";

// Layers 2 and 3 read the keys of 0 and 1.
Architecture architecture(const char* extra = "") {
  const auto config =
      parse_json(fmt::format(
                     R"({{"model_type": "gemma4_text", "vocab_size": 32, "hidden_size": 8,
              "intermediate_size": 12,
      "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4,
      "global_head_dim": 8, "sliding_window": 4,
      "layer_types": ["sliding_attention", "full_attention", "sliding_attention",
      "full_attention"], "num_kv_shared_layers": 2,
      "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 32 {}}})",
                     extra),
                 "config");
  EXPECT_TRUE(config.ok());
  auto arch = read_architecture(*config, "config");
  EXPECT_TRUE(arch.ok()) << arch.error().text();
  return std::move(*arch);
}

Decls declarations(const Architecture& arch, const std::string& prefix,
                   DType dtype = DType::kBF16) {
  Decls decls;
  for (const TensorSpec& t : arch.tensors) decls.push_back({prefix + t.name, dtype, t.shape});
  return decls;
}

TensorDecl& named(Decls& decls, const std::string& name) {
  const auto it =
      std::find_if(decls.begin(), decls.end(), [&](const TensorDecl& d) { return d.name == name; });
  EXPECT_NE(it, decls.end()) << name;
  return *it;
}

void drop(Decls& decls, const std::string& name) {
  EXPECT_EQ(std::erase_if(decls, [&](const TensorDecl& d) { return d.name == name; }), 1u) << name;
}

// A checkpoint of these tensors, every byte 0x3c (small positive numbers in each dtype), loaded.
Result<std::unique_ptr<LoadedWeights>> load(Architecture arch, const Decls& decls,
                                            WeightFormat format = WeightFormat::kF32) {
  const TemporaryFolder folder;
  auto writer = CheckpointWriter::create(folder.path(), decls);
  EXPECT_TRUE(writer.ok());
  for (const TensorDecl& d : decls) {
    const auto bytes = checked_nbytes(d.dtype, d.shape, d.name);
    EXPECT_TRUE(writer->write(d.name, std::vector(*bytes, std::byte{0x3c})).ok());
  }
  EXPECT_TRUE(writer->finish().ok());
  auto source = open_checkpoint(folder.path());
  EXPECT_TRUE(source.ok()) << source.error().text();
  settle_shared_tensors(arch, *source);
  ThreadPool pool(1);
  LH_TRY(auto matched, match_weights(arch, std::move(*source)));
  return load_weights(arch, std::move(matched), format, pool, {});
}

void expect_loads(const Architecture& arch, const Decls& decls) {
  for (WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16}) {
    const auto loaded = load(arch, decls, format);
    EXPECT_TRUE(loaded.ok()) << loaded.error().text();
  }
}

std::string problem(const Architecture& arch, const Decls& decls) {
  const auto loaded = load(arch, decls);
  if (loaded.ok()) return "loaded";
  EXPECT_EQ(loaded.error().code, ErrorCode::kCorruptFile);
  return loaded.error().text();
}

TEST(Loader, EveryPrefixIsFound) {
  const Architecture arch = architecture();
  for (const char* prefix : {"model.language_model.", "model.", "language_model.model.", ""})
    expect_loads(arch, declarations(arch, prefix));
}

TEST(Loader, ReportsAllProblemsInOneError) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  drop(decls, std::string(kPrefix) + "norm.weight");
  drop(decls, std::string(kPrefix) + "layers.1.mlp.up_proj.weight");
  named(decls, std::string(kPrefix) + "layers.0.self_attn.q_proj.weight").shape = {4, 8};
  named(decls, std::string(kPrefix) + "layers.2.layer_scalar").dtype = DType::kI8;
  decls.push_back({std::string(kPrefix) + "layers.9.mlp.up_proj.weight", DType::kBF16, {2, 2}});
  decls.push_back({"optimizer.step", DType::kI64, {1}});
  const std::string message = problem(arch, decls);
  EXPECT_THAT(message, HasSubstr("6 problems"));
  EXPECT_THAT(message, HasSubstr("missing tensor 'model.language_model.norm.weight' [8]"));
  EXPECT_THAT(
      message,
      HasSubstr("missing tensor 'model.language_model.layers.1.mlp.up_proj.weight' [12, 8]"));
  EXPECT_THAT(
      message,
      HasSubstr(
          "'model.language_model.layers.0.self_attn.q_proj.weight' is [4, 8], expected [8, 8]"));
  EXPECT_THAT(message, HasSubstr("layer_scalar' has dtype I8"));
  EXPECT_THAT(
      message,
      HasSubstr("unclaimed tensor 'model.language_model.layers.9.mlp.up_proj.weight' [2, 2]"));
  EXPECT_THAT(message, HasSubstr("unclaimed tensor 'optimizer.step' [1]"));
}

TEST(Loader, RefusesDtypesItCannotCompute) {
  const Architecture arch = architecture();
  for (DType dtype : {DType::kI8, DType::kF8E4M3, DType::kF64}) {
    Decls decls = declarations(arch, kPrefix);
    named(decls, std::string(kPrefix) + "layers.0.mlp.gate_proj.weight").dtype = dtype;
    named(decls, std::string(kPrefix) + "embed_tokens_per_layer.weight").dtype = dtype;
    const std::string message = problem(arch, decls);
    EXPECT_THAT(message, HasSubstr("2 problems"));
    EXPECT_THAT(message, HasSubstr(fmt::format("has dtype {}, expected F32, F16 or BF16",
                                               to_string(dtype))));
  }
}

TEST(Loader, SaysHowManyProblemsAreNotShown) {
  const Architecture arch = architecture();
  const std::string message = problem(arch, {{"something.else", DType::kF32, {1}}});
  EXPECT_THAT(message, HasSubstr("the first 20 are"));
  EXPECT_LT(message.size(), 4000u);
}

TEST(Loader, NamesFromAFileReachTheTerminalEscaped) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  decls.push_back({"\x1b]0;title\x07", DType::kF32, {1}});
  EXPECT_THAT(problem(arch, decls), Not(HasSubstr("\x1b")));
}

// Published files hold keys and values of the layers that share, later ones do not; nothing reads
// them.
TEST(Loader, KeysOfSharingLayersMayBeThereInAnyForm) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  expect_loads(arch, decls);
  decls.push_back(
      {std::string(kPrefix) + "layers.2.self_attn.k_proj.weight", DType::kBF16, {4, 8}});
  decls.push_back({std::string(kPrefix) + "layers.2.self_attn.v_proj.weight", DType::kI8, {4, 8}});
  decls.push_back(
      {std::string(kPrefix) + "layers.3.self_attn.k_norm.weight", DType::kF8E4M3, {77}});
  expect_loads(arch, decls);
  decls.push_back(
      {std::string(kPrefix) + "layers.1.self_attn.x_proj.weight", DType::kBF16, {4, 8}});
  EXPECT_THAT(problem(arch, decls), HasSubstr("unclaimed tensor"));
}

TEST(Loader, KeysOfOwningLayersAreRequired) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  drop(decls, std::string(kPrefix) + "layers.1.self_attn.k_proj.weight");
  EXPECT_THAT(
      problem(arch, decls),
      HasSubstr("missing tensor 'model.language_model.layers.1.self_attn.k_proj.weight' [8, 8]"));
}

// NVIDIA/TensorRT-LLM #16797: some exports write the values' copy out.
TEST(Loader, ValuesFromKeysNeedNoValueProjection) {
  const Architecture arch = architecture(R"(, "attention_k_eq_v": true)");
  const std::string keys = std::string(kPrefix) + "layers.1.self_attn.k_proj.weight",
                    values = std::string(kPrefix) + "layers.1.self_attn.v_proj.weight";
  Decls decls = declarations(arch, kPrefix);
  expect_loads(arch, decls);
  named(decls, keys).name = values;  // under the other name
  expect_loads(arch, decls);
  decls.push_back({keys, DType::kBF16, {8, 8}});  // under both
  const Notices notices;
  expect_loads(arch, decls);
  EXPECT_THAT(notices.lines, ::testing::IsEmpty());
  named(decls, values).dtype = DType::kF32;  // 0x3c3c3c3c is another number than 0x3c3c
  expect_loads(arch, decls);
  ASSERT_FALSE(notices.lines.empty());
  EXPECT_EQ(notices.lines.front(),
            "'" + values + "' differs from '" + keys +
                "' and is not read: attention_k_eq_v takes values from the keys' projection");
  drop(decls, keys);
  drop(decls, values);
  EXPECT_THAT(problem(arch, decls), HasSubstr("missing tensor '" + keys + "'"));
}

TEST(Loader, VisionAndAudioAreSkipped) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  for (const char* name : {"model.vision_tower.x.weight", "model.audio_tower.y",
                           "model.embed_vision.z.weight", "model.embed_audio.w"}) {
    decls.push_back({name, DType::kI8, {3}});
  }
  decls.push_back({std::string(kPrefix) + "layers.0.self_attn.v_norm.weight", DType::kBF16, {4}});
  expect_loads(arch, decls);
}

constexpr const char* kUntied = R"(, "tie_word_embeddings": false)";

// The head where the reference saves it, where it stood in older multimodal checkpoints, and inside
// the model.
TEST(Loader, AHeadOfItsOwnIsFoundWhereCheckpointsPutIt) {
  const Architecture untied = architecture(kUntied);
  const std::pair<const char*, std::vector<const char*>> places[] = {
      {"model.language_model.",
       {"lm_head.weight", "model.lm_head.weight", "language_model.lm_head.weight",
        "model.language_model.lm_head.weight"}},
      {"language_model.model.", {"lm_head.weight", "language_model.lm_head.weight"}},
      {"model.", {"lm_head.weight", "model.lm_head.weight"}},
      {"", {"lm_head.weight"}}};
  const Notices notices;
  for (const auto& [prefix, names] : places) {
    for (const char* name : names) {
      Decls decls = declarations(untied, prefix);
      named(decls, std::string(prefix) + "lm_head.weight").name = name;
      expect_loads(untied, decls);
      expect_loads(architecture(), decls);  // tied, and equal
    }
  }
  EXPECT_THAT(notices.lines, ::testing::IsEmpty());
}

// vllm-project/vllm #51665, meta-llama/llama-models #252: a config that says untied, of a
// checkpoint without a head.
TEST(Loader, WhicheverOfHeadAndEmbeddingIsThereServesAsBoth) {
  for (const char* config : {"", kUntied}) {
    const Architecture arch = architecture(config);
    for (const char* only : {"embed_tokens.weight", "lm_head.weight"}) {
      Decls decls = declarations(arch, kPrefix);
      std::erase_if(decls, [](const TensorDecl& d) { return d.name.ends_with("lm_head.weight"); });
      named(decls, std::string(kPrefix) + "embed_tokens.weight").name =
          only == std::string("lm_head.weight") ? only : std::string(kPrefix) + only;
      const Notices notices;
      expect_loads(arch, decls);
      EXPECT_EQ(notices.lines.empty(), config == std::string_view()) << only;
      for (const std::string& line : notices.lines) {
        EXPECT_THAT(
            line,
            HasSubstr(std::string(only) +
                      "' is the only one of head and embedding that is there: it serves as both"));
      }
    }
    Decls decls = declarations(arch, kPrefix);
    std::erase_if(decls, [](const TensorDecl& d) {
      return d.name.ends_with("lm_head.weight") || d.name.ends_with("embed_tokens.weight");
    });
    EXPECT_THAT(problem(arch, decls),
                HasSubstr("missing tensor 'model.language_model.embed_tokens.weight' [32, 8]"));
  }
}

TEST(Loader, AHeadOfAnotherShapeIsAnError) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  decls.push_back({"lm_head.weight", DType::kBF16, {40, 8}});
  EXPECT_THAT(problem(arch, decls),
              HasSubstr("tensor 'lm_head.weight' is [40, 8], expected [32, 8]"));
}

// huggingface/transformers #35255, hiyouga/LlamaFactory #2554, karpathy/llama2.c #266.
TEST(Loader, BuffersThatTheConfigGivesAreIgnored) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  for (const char* name :
       {"rotary_emb.inv_freq", "rotary_emb.original_inv_freq", "rotary_emb.full_attention_inv_freq",
        "rotary_emb.sliding_attention_original_inv_freq", "layers.0.self_attn.rotary_emb.inv_freq",
        "layers.1.self_attn.rotary_emb.cos_cached", "layers.1.self_attn.rotary_emb.sin_cached",
        "embed_tokens.embed_scale", "embed_tokens_per_layer.embed_scale", "position_ids"})
    decls.push_back({std::string(kPrefix) + name, DType::kI8, {7}});
  decls.push_back({"inv_freq", DType::kF64, {}});
  decls.push_back({"model.rotary_emb_local.inv_freq", DType::kF32, {2}});
  decls.push_back({"freqs_cis", DType::kF32, {2, 2}});
  expect_loads(arch, decls);
  for (const char* name : {"layers.0.self_attn.inv_freq_scale", "layers.0.self_attn.xinv_freq",
                           "layers.0.inv_freq.weight"}) {
    Decls more = decls;
    more.push_back({std::string(kPrefix) + name, DType::kF32, {2}});
    EXPECT_THAT(problem(arch, more), HasSubstr("unclaimed tensor")) << name;
  }
}

TEST(Loader, EveryProblemEndsInWhatToDo) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  drop(decls, std::string(kPrefix) + "norm.weight");
  EXPECT_THAT(problem(arch, decls),
              ::testing::EndsWith("check that config.json and the weights are of one model"));
  decls.push_back({"optimizer.step", DType::kI64, {1}});
  EXPECT_THAT(
      problem(arch, decls),
      ::testing::EndsWith(
          "are of one model, and take tensors that belong to no part of it out of the files"));
}

TEST(Loader, ScalarOfNoDimensions) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix);
  named(decls, std::string(kPrefix) + "layers.3.layer_scalar").shape = {};
  expect_loads(arch, decls);
}

TEST(Loader, HalfPrecisionAndMixedCheckpoints) {
  const Architecture arch = architecture();
  expect_loads(arch, declarations(arch, kPrefix, DType::kF16));
  Decls decls = declarations(arch, kPrefix, DType::kF32);
  for (size_t i = 0; i < decls.size(); i += 2) decls[i].dtype = DType::kF16;
  expect_loads(arch, decls);
}

// A file may place a tensor at any byte.
TEST(Loader, TensorsNeedNotBeAligned) {
  const Architecture arch = architecture();
  Decls decls = declarations(arch, kPrefix, DType::kF32);
  decls.insert(decls.begin(), {"model.vision_tower.odd", DType::kU8, {1}});
  expect_loads(arch, decls);
}

}  // namespace
}  // namespace longhaul
