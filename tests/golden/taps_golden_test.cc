// Intermediate results against the reference's, block by block: where logits differ, the first of
// these that differs names the block.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "api/loaded_model.h"
#include "checkpoint/tensor_names.h"
#include "formats/formats_testing.h"
#include "mechanisms/parallel.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

struct NamedRows {
  std::string name;  // "embed", "layers.3.attn"
  std::vector<float> values;
};

// What the golden file of a checkpoint recorded of one of its prompts.
struct GoldenTaps {
  size_t prompt = 0;
  std::map<std::string, std::vector<float>> taps;
};

GoldenTaps golden_taps(const std::string& name) {
  const auto source = open_safetensors(golden_folder(name) + "/golden.safetensors");
  EXPECT_TRUE(source.ok()) << source.error().text();
  GoldenTaps golden;
  for (const TensorInfo& t : source->all()) {
    if (!t.name.starts_with("tap.")) continue;
    const size_t dot = t.name.find('.', 4);
    golden.prompt = std::stoul(t.name.substr(4, dot - 4));
    std::vector<float>& values = golden.taps[t.name.substr(dot + 1)];
    values.resize(t.bytes.size() / sizeof(float));
    std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
  }
  return golden;
}

// What the reference calls it. Where branches have norms of their own (Gemma with experts), its
// module "mlp" is the dense branch alone.
std::string reference_name(const Tap& tap, const Architecture& arch) {
  std::string what(tap.what);
  if (tap.layer == kNone) return what;
  const auto has_normed_branches = [&](const Block& b) {
    const auto* parallel = b.mixer.as<ParallelSpec>();
    return b.layer == tap.layer && parallel != nullptr &&
           parallel->branches.front().post_norm.has_value();
  };
  if (std::any_of(arch.blocks.begin(), arch.blocks.end(), has_normed_branches)) {
    if (what == "mlp") what = "mlp and experts";
    if (what == "branch.0") what = "mlp";
  }
  return "layers." + std::to_string(tap.layer) + "." + what;
}

// In the order in which they are computed; every row's.
std::vector<NamedRows> taps_of(const LoadedModel& model, const std::vector<int32_t>& prompt) {
  std::vector<NamedRows> taps;
  model.executor->watch_taps([&](const Tap& tap) {
    const std::string name = reference_name(tap, *model.arch);
    // The head's input comes in pieces.
    if (taps.empty() || taps.back().name != name) taps.push_back({name, {}});
    for (int64_t row = 0; row < tap.values.n; ++row) {
      const float* values = tap.values.row(row);
      taps.back().values.insert(taps.back().values.end(), values, values + tap.values.width);
    }
  });
  run_logits(model, prompt, 0);
  model.executor->watch_taps({});
  return taps;
}

// The order of sums over a few layers, relative to the largest value.
constexpr double kTolerance = 2e-4;

bool is_close(const std::vector<float>& found, const std::vector<float>& golden) {
  double largest = 1;
  for (const float x : golden) largest = std::max(largest, static_cast<double>(std::fabs(x)));
  return max_difference(found, golden) <= kTolerance * largest;
}

// The first that differs, "" where none does; `compared` are those that the reference has.
std::string first_difference(const std::string& folder, const GoldenTaps& golden,
                             const std::vector<int32_t>& prompt, std::set<std::string>& compared) {
  const LoadedModel model = load_f32_from(folder);
  for (const NamedRows& tap : taps_of(model, prompt)) {
    const auto it = golden.taps.find(tap.name);
    if (it == golden.taps.end()) continue;
    compared.insert(tap.name);
    if (!is_close(tap.values, it->second)) return tap.name;
  }
  return "";
}

class GoldenTapsOf : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = golden_taps(GetParam());
    if (golden_.taps.empty()) return;
    prompt_ = golden_cases(GetParam())[golden_.prompt].prompt;
  }
  GoldenTaps golden_;
  std::vector<int32_t> prompt_;
};

TEST_P(GoldenTapsOf, EqualTheReferences) {
  std::set<std::string> compared;
  EXPECT_EQ(first_difference(golden_folder(GetParam()), golden_, prompt_, compared), "");
  // Per-layer inputs are no tap of a block.
  golden_.taps.erase("ple");
  EXPECT_EQ(compared.size(), golden_.taps.size());
}

// A copy of a checkpoint in which the first tensor that a mixer alone has is negated.
void copy_with_fault(const std::string& name, const Architecture& arch, const Mixer& mixer,
                     const std::string& to) {
  WeightId first = kNone;
  mixer.visit(WeightWalk<const WeightId>([&](const WeightId& id, const WeightRole&) {
    const bool is_of_a_layer =
        arch.tensor_of(id).name.find("layers.") != std::string::npos;  // else of all
    if (first == kNone && is_of_a_layer) first = id;
  }));
  std::filesystem::copy(golden_folder(name), to, std::filesystem::copy_options::recursive);
  const auto source = open_checkpoint(golden_folder(name));
  ASSERT_TRUE(source.ok()) << source.error().text();
  const TensorInfo* t = TensorNames(arch, *source).find(arch.tensor_of(first));
  ASSERT_NE(t, nullptr) << arch.tensor_of(first).name;
  std::vector<std::byte> bytes(t->bytes.begin(), t->bytes.end());
  const size_t size = bytes_per_element(t->dtype);
  for (size_t at = size - 1; at < bytes.size(); at += size) bytes[at] ^= std::byte{0x80};
  const std::filesystem::path file =
      std::filesystem::path(to) / std::filesystem::path(t->file->path()).filename();
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(t->bytes.data() - t->file->bytes().data());
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

// One fault in each kind of mixer, in the last block of the kind.
TEST_P(GoldenTapsOf, NameTheBlockOfAFault) {
  const LoadedModel model = load_f32(GetParam());
  const Architecture& arch = *model.arch;
  std::map<std::string, const Block*> kinds;
  for (const Block& block : arch.blocks) kinds[block.mixer.words(arch).name] = &block;
  if (golden_.taps.empty()) return;
  for (const auto& [kind, block] : kinds) {
    const TemporaryFolder folder;
    const std::string copy = folder.path() + "/copy";
    copy_with_fault(GetParam(), arch, block->mixer, copy);
    const std::string layer = "layers." + std::to_string(block->layer) + ".",
                      tap = layer + block->mixer.words(arch).tap;
    std::set<std::string> compared;
    EXPECT_EQ(first_difference(copy, golden_, prompt_, compared),
              golden_.taps.count(tap) > 0 ? tap : layer + "out")
        << kind;
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTapsOf);
INSTANTIATE_TEST_SUITE_P(Checkpoints, GoldenTapsOf, ::testing::ValuesIn(golden_checkpoints()),
                         test_name);

}  // namespace
}  // namespace longhaul::testing
