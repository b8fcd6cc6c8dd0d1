// A checkpoint of the same weights in another layout gives the same logits, to the bit: for the
// checkpoints under tests/golden, whose logits are the reference's. Which layouts there are is in
// docs/formats.md.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>

#include "api/loaded_model.h"
#include "base/numbers.h"
#include "formats/config_reader.h"
#include "formats/formats_testing.h"
#include "formats/safetensors_writer.h"
#include "longhaul/checkpoint.h"
#include "longhaul/planner.h"
#include "tensor/float_at.h"
#include "testing/checkpoint.h"
#include "testing/planned_logits.h"

namespace longhaul::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

struct Tensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  // Rows [first, first + n) of the first dimension.
  Tensor rows(int64_t first, int64_t n) const {
    const auto row = static_cast<int64_t>(bytes.size()) / shape[0];
    std::vector<int64_t> cut = shape;
    cut[0] = n;
    return {dtype, cut, {bytes.begin() + first * row, bytes.begin() + (first + n) * row}};
  }
  Tensor without_first_dimension() const {
    return {dtype, {shape.begin() + 1, shape.end()}, bytes};
  }
  // One below the other along a dimension of which `others` have as much as this.
  Tensor over(const Tensor& below) const {
    Tensor all = *this;
    all.shape[0] += below.shape[0];
    all.bytes.insert(all.bytes.end(), below.bytes.begin(), below.bytes.end());
    return all;
  }
  Tensor negated() const {
    Tensor t = *this;
    const size_t n = bytes_per_element(dtype);
    for (size_t at = n - 1; at < t.bytes.size(); at += n) t.bytes[at] ^= std::byte{0x80};
    return t;
  }
  Tensor as_f32() const {
    Tensor t{DType::kF32, shape, {}};
    const int64_t n = static_cast<int64_t>(bytes.size() / bytes_per_element(dtype));
    t.bytes.resize(static_cast<size_t>(n) * 4);
    for (int64_t i = 0; i < n; ++i) {
      const float x = float_at(bytes.data(), dtype, i);
      std::memcpy(t.bytes.data() + 4 * i, &x, 4);
    }
    return t;
  }
};

Tensor stack(const std::vector<Tensor>& parts) {
  Tensor all{parts.front().dtype, parts.front().shape, {}};
  all.shape.insert(all.shape.begin(), static_cast<int64_t>(parts.size()));
  for (const Tensor& t : parts) all.bytes.insert(all.bytes.end(), t.bytes.begin(), t.bytes.end());
  return all;
}

// A checkpoint's tensors and config, to be changed and written elsewhere.
struct Checkpoint {
  explicit Checkpoint(const std::string& name) {
    const auto source = open_checkpoint(golden_folder(name));
    EXPECT_TRUE(source.ok()) << source.error().text();
    for (const TensorInfo& t : source->all())
      tensors[t.name] = {t.dtype, t.shape, {t.bytes.begin(), t.bytes.end()}};
    auto json = read_json_file(golden_folder(name) + "/config.json", size_t{1} << 20);
    EXPECT_TRUE(json.ok());
    config = std::move(*json);
  }

  Tensor take(const std::string& name) {
    const auto it = tensors.find(name);
    EXPECT_NE(it, tensors.end()) << name;
    Tensor t = std::move(it->second);
    tensors.erase(it);
    return t;
  }
  void rename(const std::function<std::string(const std::string&)>& to) {
    std::map<std::string, Tensor> renamed;
    for (auto& [name, tensor] : tensors) renamed[to(name)] = std::move(tensor);
    tensors = std::move(renamed);
  }
  void set(const char* field, Json value) {
    Json* text = const_cast<Json*>(config.find("text_config"));
    (text != nullptr ? *text : config).set(field, value);
    config.set(field, std::move(value));
  }

  void write(const std::string& folder) const {
    fs::create_directories(folder);
    std::vector<TensorDecl> decls;
    for (const auto& [name, t] : tensors) decls.push_back({name, t.dtype, t.shape});
    auto writer = SafetensorsWriter::create(folder + "/model.safetensors", decls);
    ASSERT_TRUE(writer.ok()) << writer.error().text();
    for (const auto& [name, t] : tensors) ASSERT_TRUE(writer->write(name, t.bytes).ok());
    ASSERT_TRUE(writer->finish().ok());
    std::ofstream(folder + "/config.json") << config.dump(2);
  }

  std::map<std::string, Tensor> tensors;
  Json config;
};

class Layouts : public ::testing::Test {
 protected:
  // The changed checkpoint gives what the golden one gives: as loaded in f32, packed to 8 bits, and
  // from a folder of packed weights.
  void expect_same(const std::string& golden, const Checkpoint& changed, const char* what) {
    SCOPED_TRACE(golden + " " + what);
    const std::string folder = folder_.path() + "/" + std::to_string(++n_);
    changed.write(folder);
    const std::vector<int32_t> prompt = golden_cases(golden).front().prompt;
    for (const char* weights : {"f32", "q8"}) {
      const std::vector<float> expected =
          planned_logits(golden_folder(golden), prompt, f32_state(weights));
      EXPECT_FALSE(expected.empty());
      EXPECT_EQ(planned_logits(folder, prompt, f32_state(weights)), expected) << weights;
    }
    const auto report = quantize(folder, folder + "-q8", {.weights = WeightPrecision::kQ8});
    ASSERT_TRUE(report.ok()) << report.error().text();
    EXPECT_EQ(planned_logits(folder + "-q8", prompt, f32_state("auto")),
              planned_logits(golden_folder(golden), prompt, f32_state("q8")))
        << "packed";
    fs::remove_all(folder);
    fs::remove_all(folder + "-q8");
  }
  std::string problem(const Checkpoint& changed) {
    const std::string folder = folder_.path() + "/" + std::to_string(++n_);
    changed.write(folder);
    const auto model = LoadedModel::load(folder, f32_state("f32"));
    return model.ok() ? "loaded" : model.error().text();
  }

  TemporaryFolder folder_;
  Notices notices_;
  int n_ = 0;
};

// --- head and embedding --------------------------------------------------------------------------

// One of every family and generation of names.
constexpr const char* kFamilies[] = {"gemma/e2b",         "gemma/gemma3",        "gemma/bf16",
                                     "laguna/xs2",        "zaya/full",           "zaya/november",
                                     "deepseek_v4/flash", "deepseek_v4/released"};

// The name under which the golden checkpoint has it.
std::string find_name(const Checkpoint& c, std::string_view ending) {
  for (const auto& [name, t] : c.tensors) {
    if (name.ends_with(ending)) return name;
  }
  return "";
}

std::string embedding_of(const Checkpoint& c) {
  const std::string name = find_name(c, "embed_tokens.weight");
  return name.empty() ? find_name(c, "embed.weight") : name;
}

class Heads : public Layouts, public ::testing::WithParamInterface<std::string> {
 protected:
  // The golden checkpoint with its head tied: only the embedding, and a config that says so.
  Checkpoint tied() const {
    Checkpoint c(GetParam());
    std::erase_if(c.tensors, [](const auto& t) {
      return t.first.ends_with("lm_head.weight") || t.first.ends_with("head.weight");
    });
    c.set("tie_word_embeddings", true);
    return c;
  }
  static std::string head_name() {
    return GetParam().starts_with("deepseek_v4") ? "head.weight" : "lm_head.weight";
  }
  std::vector<float> logits(const Checkpoint& c) {
    const std::string folder = folder_.path() + "/" + std::to_string(++n_);
    const std::vector<int32_t> prompt = golden_cases(GetParam()).front().prompt;
    c.write(folder);
    std::vector<float> all = planned_logits(folder, prompt);
    EXPECT_FALSE(all.empty());
    const auto packed = quantize(folder, folder + "-q8", {.weights = WeightPrecision::kQ8});
    EXPECT_TRUE(packed.ok());
    EXPECT_EQ(planned_logits(folder + "-q8", prompt, f32_state("auto")),
              planned_logits(folder, prompt, f32_state("q8")))
        << "packed";
    return all;
  }
};

// huggingface/transformers #42612, vllm-project/vllm #53170, unslothai/unsloth #1971: a head that
// was trained, in a model that is tied.
TEST_P(Heads, ATiedConfigWithADifferentHeadUsesBoth) {
  Checkpoint c = tied();
  const std::vector<float> without = logits(c);
  c.tensors[head_name()] = c.tensors[embedding_of(c)].negated();
  const std::vector<float> both = logits(c);
  ASSERT_FALSE(notices_.lines.empty());
  EXPECT_EQ(notices_.lines.front(), fmt::format("'{}' differs from '{}', to which the config's "
                                                "tie_word_embeddings ties it: both are used",
                                                head_name(), embedding_of(c)));
  notices_.lines.clear();
  c.set("tie_word_embeddings", false);
  EXPECT_EQ(both, logits(c)) << "as if the config said so";
  EXPECT_THAT(notices_.lines, IsEmpty());
  EXPECT_NE(both, without);
}

// vllm-project/vllm #6758, Blaizzy/mlx-vlm #421: tools that write the copy out.
TEST_P(Heads, AnEqualHeadIsTied) {
  Checkpoint c = tied();
  const std::vector<float> expected = logits(c);
  for (const bool is_tied : {true, false}) {
    c.set("tie_word_embeddings", is_tied);
    c.tensors[head_name()] = c.tensors[embedding_of(c)];
    EXPECT_EQ(logits(c), expected);
    c.tensors[head_name()] =
        c.tensors[embedding_of(c)].as_f32();  // the same numbers in another type
    EXPECT_EQ(logits(c), expected);
  }
  EXPECT_THAT(notices_.lines, IsEmpty());
}

TEST_P(Heads, TheOnlyOneServesAsBothUnderEitherName) {
  Checkpoint c = tied();
  const std::vector<float> expected = logits(c);
  EXPECT_THAT(notices_.lines, IsEmpty());
  c.set("tie_word_embeddings", false);
  EXPECT_EQ(logits(c), expected);
  EXPECT_THAT(notices_.lines.front(),
              HasSubstr("serves as both, though the config's tie_word_embeddings is false"));
  c.tensors[head_name()] = c.take(embedding_of(c));
  EXPECT_EQ(logits(c), expected);
  notices_.lines.clear();
  c.set("tie_word_embeddings", true);
  EXPECT_EQ(logits(c), expected);
  EXPECT_THAT(notices_.lines, IsEmpty());
}

// What tells the format that weights are kept in unless asked: of two equal ones, the embedding.
TEST_F(Layouts, AnEqualHeadInF32DoesNotMakeAModelOfBf16Larger) {
  Checkpoint c("gemma/bf16");
  const std::string folder = folder_.path() + "/f32-head";
  c.tensors["lm_head.weight"] = c.tensors[embedding_of(c)].as_f32();
  c.write(folder);
  const auto plain = LoadedModel::load(golden_folder("gemma/bf16"), f32_state("auto")),
             with_head = LoadedModel::load(folder, f32_state("auto"));
  ASSERT_TRUE(plain.ok() && with_head.ok());
  EXPECT_EQ(with_head->weights->resident_bytes(), plain->weights->resident_bytes());
}

INSTANTIATE_TEST_SUITE_P(Families, Heads,
                         ::testing::ValuesIn(std::vector<std::string>(std::begin(kFamilies),
                                                                      std::end(kFamilies))),
                         test_name);

// --- experts -------------------------------------------------------------------------------------

// The experts of one layer, as a list of their gate, up and down matrices.
struct Experts {
  std::vector<Tensor> gate, up, down;
};

// Takes the experts of all layers out of a checkpoint of stacked ones, by what stands before
// "gate_up_proj".
std::map<std::string, Experts> take_stacked(Checkpoint& c) {
  constexpr std::string_view kFused = "gate_up_proj";
  std::vector<std::string> places;
  for (const auto& [name, t] : c.tensors) {
    if (name.ends_with(kFused)) places.push_back(name.substr(0, name.size() - kFused.size()));
  }
  std::map<std::string, Experts> all;
  for (const std::string& place : places) {
    const Tensor fused = c.take(place + "gate_up_proj"), down = c.take(place + "down_proj");
    for (int64_t e = 0; e < fused.shape[0]; ++e) {
      const Tensor both = fused.rows(e, 1).without_first_dimension();
      const int64_t f = both.shape[0] / 2;
      all[place].gate.push_back(both.rows(0, f));
      all[place].up.push_back(both.rows(f, f));
      all[place].down.push_back(down.rows(e, 1).without_first_dimension());
    }
  }
  EXPECT_FALSE(all.empty());
  return all;
}

// "layers.3.mlp." for "model.layers.3.mlp.experts."
std::string before_experts(const std::string& place) {
  return place.substr(0, place.size() - std::string_view("experts.").size());
}

void put_one_by_one(Checkpoint& c, const std::string& at, const Experts& experts,
                    std::array<const char*, 3> names) {
  for (size_t e = 0; e < experts.gate.size(); ++e) {
    const std::string expert = at + std::to_string(e) + ".";
    c.tensors[expert + names[0] + ".weight"] = experts.gate[e];
    c.tensors[expert + names[1] + ".weight"] = experts.up[e];
    c.tensors[expert + names[2] + ".weight"] = experts.down[e];
  }
}
void put_fused_one_by_one(Checkpoint& c, const std::string& at, const Experts& experts) {
  for (size_t e = 0; e < experts.gate.size(); ++e) {
    const std::string expert = at + std::to_string(e) + ".";
    c.tensors[expert + "gate_up_proj.weight"] = experts.gate[e].over(experts.up[e]);
    c.tensors[expert + "down_proj.weight"] = experts.down[e];
  }
}
void put_stacked(Checkpoint& c, const std::string& at, const Experts& experts) {
  std::vector<Tensor> fused;
  for (size_t e = 0; e < experts.gate.size(); ++e)
    fused.push_back(experts.gate[e].over(experts.up[e]));
  c.tensors[at + "gate_up_proj"] = stack(fused);
  c.tensors[at + "down_proj"] = stack(experts.down);
}
void put_stacked_apart(Checkpoint& c, const std::string& at, const Experts& experts) {
  c.tensors[at + "gate_proj.weight"] = stack(experts.gate);
  c.tensors[at + "up_proj.weight"] = stack(experts.up);
  c.tensors[at + "down_proj.weight"] = stack(experts.down);
}

// A checkpoint of stacked experts, which are put elsewhere.
struct StackedCheckpoint {
  explicit StackedCheckpoint(const std::string& name) : checkpoint(name) {}

  // put: what becomes of the experts of one layer, given what stood before them.
  Checkpoint with(
      const std::function<void(Checkpoint&, const std::string& place, const Experts&)>& put) const {
    Checkpoint c = checkpoint;
    for (const auto& [place, experts] : take_stacked(c)) put(c, place, experts);
    return c;
  }

  Checkpoint checkpoint;
};

constexpr std::array kProj = {"gate_proj", "up_proj", "down_proj"};
constexpr std::array kW = {"w1", "w3", "w2"};

// vllm-project/vllm #41206 and #39256, sgl-project/sglang #22929: names of Gemma's experts where
// they stand one by one.
TEST_F(Layouts, GemmaExpertsInEveryLayout) {
  constexpr const char* kGolden = "gemma/26b";
  const StackedCheckpoint stacked(kGolden);
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_one_by_one(c, at, e, kProj); }),
              "one by one");
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_fused_one_by_one(c, at, e); }),
              "one by one, gate and up in one");
  expect_same(kGolden, stacked.with([](auto& c, auto& at, auto& e) {
    put_one_by_one(c, before_experts(at) + "moe.experts.", e, kProj);
  }),
              "moe.experts");
  expect_same(kGolden, stacked.with([](auto& c, auto& at, auto& e) {
    put_stacked(c, before_experts(at) + "moe.experts.", e);
  }),
              "moe.experts stacked");
  expect_same(kGolden, stacked.with([](auto& c, auto& at, auto& e) {
    put_stacked_apart(c, at + "switch_glu.", e);
  }),
              "switch_glu");
  int n = 0;
  expect_same(kGolden, stacked.with([&](auto& c, auto& at, auto& e) {
    n++ % 2 == 0 ? put_one_by_one(c, at, e, kProj) : put_stacked(c, at, e);
  }),
              "layer by layer another");
  expect_same(kGolden, stacked.with([](auto& c, auto& at, auto& e) {
    put_one_by_one(c, at, e, kProj);
    for (size_t i = 0; i < e.down.size(); ++i) c.take(at + std::to_string(i) + ".down_proj.weight");
    c.tensors[at + "down_proj"] = stack(e.down);
  }),
              "down stacked alone");
}

TEST_F(Layouts, LagunaExpertsInEveryLayout) {
  constexpr const char* kGolden = "laguna/stacked";
  const StackedCheckpoint stacked(kGolden);
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_one_by_one(c, at, e, kProj); }),
              "one by one");
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_fused_one_by_one(c, at, e); }),
              "one by one, gate and up in one");
  expect_same(kGolden, stacked.with([](auto& c, auto& at, auto& e) {
    put_stacked_apart(c, before_experts(at) + "switch_mlp.", e);
  }),
              "switch_mlp");
}

TEST_F(Layouts, ZayaExpertsInEveryLayout) {
  constexpr const char* kGolden = "zaya/full";
  const StackedCheckpoint stacked(kGolden);
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_one_by_one(c, at, e, kProj); }),
              "one by one");
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_fused_one_by_one(c, at, e); }),
              "one by one, gate and up in one");
}

TEST_F(Layouts, DeepseekExpertsInEveryLayout) {
  constexpr const char* kGolden = "deepseek_v4/flash_modules";
  const StackedCheckpoint stacked(kGolden);
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_one_by_one(c, at, e, kW); }),
              "mlp.experts.N.w1");
  expect_same(kGolden,
              stacked.with([](auto& c, auto& at, auto& e) { put_one_by_one(c, at, e, kProj); }),
              "mlp.experts.N.gate_proj");
  const auto ffn = [](const std::string& at) {
    return at.substr(0, at.find(".mlp.")) + ".ffn.experts.";
  };
  expect_same(kGolden,
              stacked.with([&](auto& c, auto& at, auto& e) { put_one_by_one(c, ffn(at), e, kW); }),
              "ffn.experts.N.w1");
  expect_same(kGolden,
              stacked.with([&](auto& c, auto& at, auto& e) { put_stacked(c, ffn(at), e); }),
              "ffn.experts stacked");
}

TEST_F(Layouts, ExpertsThatAreMissingOrDoubledAreErrors) {
  Checkpoint c("gemma/26b");
  const auto taken = take_stacked(c);
  Checkpoint doubled = c;
  for (const auto& [place, experts] : taken) put_one_by_one(c, place, experts, kProj);
  const std::string place = taken.begin()->first;
  c.take(place + "1.up_proj.weight");
  EXPECT_THAT(problem(c), HasSubstr("missing tensor '" + place + "1.up_proj.weight'"));
  for (const auto& [at, experts] : taken) put_stacked(doubled, at, experts);
  put_one_by_one(doubled, place, taken.begin()->second, kProj);
  EXPECT_THAT(problem(doubled), HasSubstr("unclaimed tensor '" + place + "0.down_proj.weight'"));
}

// A cache smaller than the experts reads them where they stand.
TEST_F(Layouts, ExpertsOneByOneBehindACache) {
  constexpr const char* kGolden = "gemma/26b";
  Checkpoint c(kGolden);
  for (const auto& [place, experts] : take_stacked(c)) put_one_by_one(c, place, experts, kProj);
  const std::string folder = folder_.path() + "/cached";
  c.write(folder);
  LoadOptions cached = f32_state("f32");
  cached.threads = 1;
  const auto resident = LoadedModel::load(golden_folder(kGolden), f32_state("f32"));
  ASSERT_TRUE(resident.ok());
  const auto layout = expert_cache_layout(*resident->arch, WeightFormat::kF32, 1, UINT64_MAX);
  ASSERT_TRUE(layout.ok());
  cached.expert_cache =
      static_cast<uint64_t>(layout->max_top_k) * layout->slot_bytes + layout->widen_bytes;
  const std::vector<int32_t> prompt = golden_cases(kGolden).front().prompt;
  EXPECT_EQ(planned_logits(folder, prompt, cached), run_logits(*resident, prompt, 0));
}

// --- names ---------------------------------------------------------------------------------------

// Every family without the prefix that it is saved with, and with what training may have wrapped
// around it.
TEST_F(Layouts, NamesWithoutPrefixOrWithWrappers) {
  for (const char* golden : {"gemma/gemma3", "laguna/stacked", "laguna/per_element", "zaya/full",
                             "zaya/november", "deepseek_v4/flash_modules"}) {
    Checkpoint bare(golden), wrapped(golden);
    bare.rename(
        [](const std::string& name) { return name.starts_with("model.") ? name.substr(6) : name; });
    expect_same(golden, bare, "bare");
    wrapped.rename([](const std::string& name) { return "_orig_mod." + name; });
    expect_same(golden, wrapped, "wrapped");
  }
}

TEST_F(Layouts, DerivedBuffersChangeNothing) {
  for (const char* golden : {"gemma/e2b", "laguna/xs2", "zaya/full", "deepseek_v4/released"}) {
    Checkpoint c(golden);
    const Tensor noise{DType::kF32, {2}, std::vector<std::byte>(8, std::byte{0x41})};
    for (const char* name :
         {"model.rotary_emb.inv_freq", "model.layers.0.self_attn.rotary_emb.inv_freq",
          "layers.0.attn.freqs_cis", "model.rotary_emb.full_attention_inv_freq",
          "model.rotary_emb.main_original_inv_freq"})
      c.tensors[name] = noise;
    expect_same(golden, c, "buffers");
  }
}

// K=V layers, with the values' copy written out, under the other name alone, and with one that
// differs, which the reference does not read either.
TEST_F(Layouts, ValuesThatAreTheKeysProjection) {
  constexpr const char* kGolden = "gemma/26b";
  const Checkpoint plain(kGolden);
  std::vector<std::string> places;
  for (const auto& [name, t] : plain.tensors) {
    constexpr std::string_view kKeys = "k_proj.weight";
    const std::string place = name.substr(0, name.size() - std::min(name.size(), kKeys.size()));
    if (name.ends_with(kKeys) && !plain.tensors.contains(place + "v_proj.weight"))
      places.push_back(place);
  }
  ASSERT_FALSE(places.empty());
  Checkpoint copied = plain, renamed = plain, different = plain;
  for (const std::string& place : places) {
    copied.tensors[place + "v_proj.weight"] = plain.tensors.at(place + "k_proj.weight");
    renamed.tensors[place + "v_proj.weight"] = renamed.take(place + "k_proj.weight");
    different.tensors[place + "v_proj.weight"] =
        plain.tensors.at(place + "k_proj.weight").negated();
  }
  expect_same(kGolden, copied, "copied");
  expect_same(kGolden, renamed, "under the other name");
  EXPECT_THAT(notices_.lines, IsEmpty());
  expect_same(kGolden, different, "different");
  EXPECT_THAT(notices_.lines, ::testing::Each(HasSubstr("and is not read: attention_k_eq_v")));
  const std::string rest =
      places.size() == 1 ? "projection" : fmt::format("; so are {} others", places.size() - 1);
  EXPECT_THAT(notices_.lines, ::testing::Each(::testing::EndsWith(rest)));
}

}  // namespace
}  // namespace longhaul::testing
