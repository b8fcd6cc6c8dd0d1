// Checkpoints of 8-bit and 4-bit weights with scales beside them, and tables that name experts:
// which load, and what is said about the others.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "checkpoint/loader.h"
#include "checkpoint/match_tensors.h"
#include "formats/formats_testing.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "models/registry.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

constexpr const char* kConfig =
    R"({"model_type": "deepseek_v4", "vocab_size": 24, "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "head_dim": 16, "qk_rope_head_dim": 4, "q_lora_rank": 32,
    "o_groups": 2, "o_lora_rank": 32,
    "index_n_heads": 2, "index_head_dim": 16, "index_topk": 4, "compress_ratios": [0, 4],
    "num_hash_layers": 1, "n_routed_experts": 4,
    "num_experts_per_tok": 2, "moe_intermediate_size": 32, "hc_mult": 2 EXTRA})";

Architecture architecture(const std::string& extra = "") {
  std::string text = kConfig;
  text.replace(text.find("EXTRA"), 5, extra);
  const auto config = parse_json(text, "config");
  EXPECT_TRUE(config.ok());
  auto arch = read_architecture(*config, "config");
  EXPECT_TRUE(arch.ok()) << arch.error().text();
  return std::move(*arch);
}

// Tensors to write, each with the byte it is filled with.
struct Stored {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
  uint8_t fill = 0x3c;
};

class Checkpoint {
 public:
  // Everything in bf16, the table of experts in I64 and all zero.
  explicit Checkpoint(const Architecture& arch) : arch_(arch) {
    for (const TensorSpec& t : arch.tensors) {
      const bool is_table = t.name.ends_with("tid2eid");
      tensors_.push_back({t.name, is_table ? DType::kI64 : DType::kBF16, t.shape,
                          is_table ? uint8_t{0} : uint8_t{0x3c}});
    }
  }

  Stored& at(const std::string& name) {
    const auto it = std::find_if(tensors_.begin(), tensors_.end(),
                                 [&](const Stored& t) { return t.name == name; });
    EXPECT_NE(it, tensors_.end()) << name;
    return *it;
  }
  void add(Stored tensor) { tensors_.push_back(std::move(tensor)); }
  // Turns a matrix into FP8 with block scales, or into packed FP4 with one scale a run, as the
  // release names them.
  void quantise(const std::string& matrix, DType dtype, DType scale = DType::kF8E8M0) {
    Stored& w = at(matrix);
    const int64_t rows = w.shape[0], cols = w.shape[1];
    const bool packed = dtype != DType::kF8E4M3;
    w.dtype = dtype;
    if (packed) w.shape = {rows, cols / 2};
    const std::string name = matrix.substr(0, matrix.size() - 7) + ".scale";
    add({name, scale,
         packed ? std::vector{rows, cols / 32}
                : std::vector{ceil_div(rows, 128), ceil_div(cols, 128)}});
  }
  // As the release does: experts in 4 bits, attention and the shared expert in 8.
  void quantise_all() {
    const auto has = [](const std::string& name, const char* part) {
      return name.find(part) != std::string::npos;
    };
    for (const TensorSpec& t : arch_.tensors) {
      if (has(t.name, ".experts.")) {
        quantise(t.name, DType::kI8);
      } else if (has(t.name, ".wq_") || has(t.name, ".attn.wkv.") || has(t.name, ".wo_") ||
                 has(t.name, ".shared_experts.")) {
        quantise(t.name, DType::kF8E4M3);
      }
    }
  }
  void set_index(int64_t at, int64_t value) { indices_.emplace_back(at, value); }

  Result<std::unique_ptr<LoadedWeights>> load(WeightFormat format = WeightFormat::kF32) const {
    const TemporaryFolder folder;
    std::vector<TensorDecl> decls;
    for (const Stored& t : tensors_) decls.push_back({t.name, t.dtype, t.shape});
    auto writer = CheckpointWriter::create(folder.path(), decls);
    EXPECT_TRUE(writer.ok());
    for (const Stored& t : tensors_) {
      std::vector<std::byte> bytes(*checked_nbytes(t.dtype, t.shape, t.name), std::byte{t.fill});
      for (const auto& [at, value] : indices_) {
        if (t.name.ends_with("tid2eid"))
          std::memcpy(bytes.data() + static_cast<uint64_t>(at) * bytes_per_element(t.dtype), &value,
                      bytes_per_element(t.dtype));
      }
      EXPECT_TRUE(writer->write(t.name, bytes).ok());
    }
    EXPECT_TRUE(writer->finish().ok());
    auto source = open_checkpoint(folder.path());
    EXPECT_TRUE(source.ok()) << source.error().text();
    ThreadPool pool(1);
    LH_TRY(auto matched, match_weights(arch_, std::move(*source)));
    const WeightFormat over = format.over(matched->formats().natural.types());
    return load_weights(arch_, std::move(matched), over, pool, {});
  }
  std::string problem() const {
    const auto loaded = load();
    if (loaded.ok()) return "loaded";
    EXPECT_EQ(loaded.error().code, ErrorCode::kCorruptFile);
    return loaded.error().text();
  }

 private:
  const Architecture& arch_;
  std::vector<Stored> tensors_;
  std::vector<std::pair<int64_t, int64_t>> indices_;
};

constexpr const char* kQa = "layers.0.attn.wq_a.weight";
constexpr const char* kExpert = "layers.1.ffn.experts.3.w2.weight";
constexpr const char* kTable = "layers.0.ffn.gate.tid2eid";

TEST(DeepseekV4Loader, PlainAndQuantisedCheckpointsLoad) {
  const Architecture arch = architecture();
  for (WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat(kQ8Codec), WeightFormat::kReleased}) {
    Checkpoint plain(arch), released(arch);
    EXPECT_TRUE(plain.load(format).ok()) << plain.problem();
    released.quantise_all();
    EXPECT_TRUE(released.load(format).ok()) << released.problem();
  }
}

TEST(DeepseekV4Loader, DecodedWeightsAreCodesTimesScales) {
  const Architecture arch = architecture();
  Checkpoint c(arch);
  c.quantise(kQa, DType::kF8E4M3);
  c.quantise(kExpert, DType::kU8);
  c.at("layers.0.attn.wq_a.scale").fill = 129;
  c.at("layers.1.ffn.experts.3.w2.scale").fill = 126;
  c.at(kExpert).fill = 0x5b;  // low half b: -1.5, high half 5: 3
  const auto loaded = c.load();
  ASSERT_TRUE(loaded.ok()) << loaded.error().text();
  const auto id_of = [&](const std::string& name) {
    for (size_t i = 0; i < arch.weights.size(); ++i) {
      const WeightSpec& w = arch.weights[i];
      for (int32_t t = 0; t < w.n_tensors; ++t) {
        if (arch.tensors[static_cast<size_t>(w.tensor + t)].name == name)
          return std::pair{static_cast<WeightId>(i), int64_t{t}};
      }
    }
    return std::pair{kNone, int64_t{0}};
  };
  // Of the first panel, inputs 0 and 1 of output 0.
  const auto values = [&](const std::string& name) {
    const auto [id, expert] = id_of(name);
    const auto* panel = reinterpret_cast<const float*>((*loaded)->weights.expert(id, expert).data);
    return std::pair{panel[0], panel[16]};
  };
  EXPECT_EQ(values(kQa), (std::pair{1.5f * 4.0f, 1.5f * 4.0f}));  // 0x3c is 1.5
  EXPECT_EQ(values(kExpert), (std::pair{-0.75f, 1.5f}));
}

TEST(DeepseekV4Loader, WithoutScalesNothingIsGuessed) {
  const Architecture arch = architecture();
  Checkpoint fp8(arch), fp4(arch);
  fp8.at(kQa).dtype = DType::kF8E4M3;
  EXPECT_THAT(
      fp8.problem(),
      HasSubstr(
          "'layers.0.attn.wq_a.weight' is F8_E4M3 and has no scales ('layers.0.attn.wq_a.scale')"));
  fp4.at(kExpert).dtype = DType::kI8;
  fp4.at(kExpert).shape = {64, 16};
  EXPECT_THAT(fp4.problem(),
              HasSubstr("'layers.1.ffn.experts.3.w2.weight' is I8 and has no scales"));
}

TEST(DeepseekV4Loader, ScalesOfWrongShapeOrDtype) {
  const Architecture arch = architecture();
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{2, 1}, {1}, {}, {1, 1, 1}, {32, 64}}) {
    Checkpoint c(arch);
    c.quantise(kQa, DType::kF8E4M3);
    c.at("layers.0.attn.wq_a.scale").shape = shape;
    EXPECT_THAT(c.problem(), HasSubstr("'layers.0.attn.wq_a.scale' is " + shape_text(shape) +
                                       ", expected [1, 1]"));
  }
  for (DType dtype : {DType::kI64, DType::kF16, DType::kU8, DType::kF8E4M3, DType::kF64}) {
    Checkpoint c(arch);
    c.quantise(kExpert, DType::kI8, dtype);
    EXPECT_THAT(c.problem(), HasSubstr("'layers.1.ffn.experts.3.w2.scale' has dtype"));
  }
  Checkpoint transposed(arch);
  transposed.quantise(kExpert, DType::kI8);
  transposed.at("layers.1.ffn.experts.3.w2.scale").shape = {1, 64};
  EXPECT_THAT(transposed.problem(),
              HasSubstr("'layers.1.ffn.experts.3.w2.scale' is [1, 64], expected [64, 1]"));
}

TEST(DeepseekV4Loader, WeightsOfWrongShapeUnderTheirScales) {
  const Architecture arch = architecture();
  Checkpoint unpacked(arch), narrow(arch);
  unpacked.quantise(kExpert, DType::kI8);
  unpacked.at(kExpert).shape = {64, 32};
  EXPECT_THAT(unpacked.problem(),
              HasSubstr("'layers.1.ffn.experts.3.w2.weight' is [64, 32], expected [64, 16]"));
  narrow.quantise(kQa, DType::kF8E4M3);
  narrow.at(kQa).shape = {32, 63};
  EXPECT_THAT(narrow.problem(),
              HasSubstr("'layers.0.attn.wq_a.weight' is [32, 63], expected [32, 64]"));
}

// What is read row by row from the file, or in f32, has no scales: a tied embedding is read so
// though it is the head as well.
TEST(DeepseekV4Loader, OnlyWhatIsMultipliedMayBeQuantised) {
  for (const char* extra : {"", R"(, "tie_word_embeddings": true)"}) {
    const Architecture arch = architecture(extra);
    for (DType dtype : {DType::kF8E4M3, DType::kI8}) {
      Checkpoint c(arch);
      c.quantise("embed.weight", dtype);
      EXPECT_THAT(c.problem(), HasSubstr("'embed.weight' has dtype")) << extra;
    }
    Checkpoint fn(arch), norm(arch), bias(arch);
    fn.quantise("layers.0.hc_attn_fn", DType::kF8E4M3);
    EXPECT_THAT(fn.problem(), HasSubstr("'layers.0.hc_attn_fn' has dtype F8_E4M3"));
    norm.at("norm.weight").dtype = DType::kF8E4M3;
    EXPECT_THAT(norm.problem(),
                HasSubstr("'norm.weight' has dtype F8_E4M3, expected F32, F16 or BF16"));
    bias.at("layers.1.attn.compressor.ape").dtype = DType::kI8;
    EXPECT_THAT(bias.problem(), HasSubstr("'layers.1.attn.compressor.ape' has dtype I8"));
  }
}

TEST(DeepseekV4Loader, AQuantisedHeadIsKeptInBf16) {
  const Architecture arch = architecture();
  Checkpoint c(arch);
  c.quantise("head.weight", DType::kF8E4M3);
  EXPECT_TRUE(c.load(WeightFormat::kBF16).ok()) << c.problem();
}

TEST(DeepseekV4Loader, TablesNameExpertsThatAreThere) {
  const Architecture arch = architecture();
  for (DType dtype : {DType::kI64, DType::kI32}) {
    Checkpoint good(arch);
    good.at(kTable).dtype = dtype;
    good.set_index(47, 3);
    EXPECT_EQ(good.problem(), "loaded");
    for (int64_t bad : {int64_t{4}, int64_t{-1}, int64_t{INT32_MAX}, int64_t{INT32_MIN}}) {
      Checkpoint c(arch);
      c.at(kTable).dtype = dtype;
      c.set_index(47, bad);
      EXPECT_THAT(c.problem(),
                  HasSubstr(fmt::format("'{}' holds {} in row 23, expected 0 to 3", kTable, bad)));
    }
  }
  for (int64_t bad : {INT64_MAX, INT64_MIN, int64_t{1} << 32}) {
    Checkpoint c(arch);
    c.set_index(0, bad);
    EXPECT_THAT(c.problem(), HasSubstr(fmt::format("holds {} in row 0, expected 0 to 3", bad)));
  }
}

TEST(DeepseekV4Loader, TablesOfWrongDtypeOrShape) {
  const Architecture arch = architecture();
  for (DType dtype :
       {DType::kBF16, DType::kF32, DType::kU64, DType::kI16, DType::kI8, DType::kBool}) {
    Checkpoint c(arch);
    c.at(kTable).dtype = dtype;
    EXPECT_THAT(c.problem(), HasSubstr(fmt::format("'{}' has dtype {}, expected I64 or I32", kTable,
                                                   to_string(dtype))));
  }
  Checkpoint c(arch);
  c.at(kTable).shape = {2, 24};
  EXPECT_THAT(c.problem(), HasSubstr("'layers.0.ffn.gate.tid2eid' is [2, 24], expected [24, 2]"));
}

TEST(DeepseekV4Loader, DraftLayersAreSkippedAndStrangersReported) {
  const Architecture arch = architecture();
  Checkpoint c(arch);
  c.add({"mtp.0.attn.wq_a.weight", DType::kF8E4M3, {7, 3}});
  c.add({"mtp.0.attn.wq_a.scale", DType::kF8E8M0, {1, 1}});
  c.add({"mtp.0.ffn.experts.0.w1.weight", DType::kI8, {3}});
  c.add({"model.mtp.2.markov_head.markov_w1", DType::kBF16, {3}});
  EXPECT_EQ(c.problem(), "loaded");
  c.add({"layers.0.attn.wq_c.weight", DType::kBF16, {2, 2}});
  c.add({"layers.0.attn.wkv.scale", DType::kF8E8M0, {1, 1}});  // scales whose weight needs none
  c.add({"layers.0.ffn.gate.bias", DType::kF32, {4}});  // of a layer that is routed by token id
  const std::string message = c.problem();
  EXPECT_THAT(message, HasSubstr("3 problems"));
  EXPECT_THAT(message, HasSubstr("unclaimed tensor 'layers.0.attn.wq_c.weight' [2, 2]"));
  EXPECT_THAT(message, HasSubstr("unclaimed tensor 'layers.0.attn.wkv.scale' [1, 1]"));
  EXPECT_THAT(message, HasSubstr("unclaimed tensor 'layers.0.ffn.gate.bias' [4]"));
}

}  // namespace
}  // namespace longhaul
