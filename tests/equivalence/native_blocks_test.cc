// Models whose weights are blocks of a quantised type, executed as they are, beside their twins in
// F32: in every family, of every type.
#include <gtest/gtest.h>

#include <cmath>

#include "base/notice.h"
#include "formats/formats_testing.h"
#include "formats/gguf_blocks.h"
#include "kernels/kernels_testing.h"
#include "longhaul/checkpoint.h"
#include "testing/checkpoint.h"
#include "testing/gguf_checkpoint.h"
#include "testing/planned_logits.h"

namespace longhaul::testing {
namespace {

// A family in sizes that are whole blocks of any type; without sizes, the golden's own, some of
// whose matrices are whole blocks of 32.
struct Shape {
  const char* golden;
  std::vector<std::string> sizes;
  std::vector<DType> types = {DType::kQ4_0, DType::kQ6_K};
};

const Shape kShapes[] = {
    {"gemma/e2b", {"hidden_size=256", "intermediate_size=512", "num_attention_heads=4"}},
    {"gemma/26b", {"hidden_size=256", "intermediate_size=256", "moe_intermediate_size=256"}},
    {"laguna/xs", {"hidden_size=256", "intermediate_size=512", "moe_intermediate_size=256"}},
    {"zaya/full_legacy", {}, {DType::kQ4_0, DType::kQ5_1}},
    {"deepseek_v4/flash", {"hidden_size=256", "moe_intermediate_size=256"}},
};

std::string blocks_of_family(const Shape& shape, const std::string& folder, DType type,
                             std::string& twin) {
  std::string from = golden_folder(shape.golden);
  if (!shape.sizes.empty()) {
    const Status made =
        synthesize(from + "/config.json", folder + "/hf",
                   {.dtype = WeightPrecision::kF32, .config = {.overrides = shape.sizes}});
    EXPECT_TRUE(made.ok()) << made.error().text();
    from = folder + "/hf";
  }
  const BlockFiles files = write_blocks(read_folder(from), folder + "/model", type);
  twin = files.floats;
  return files.blocks;
}

LoadOptions with_inputs(InputPrecision inputs) {
  LoadOptions options = f32_state("released");
  options.inputs = inputs;
  return options;
}

std::vector<int32_t> prompt() { return {5, 9, 1, 30, 7, 7, 2, 17, 23, 4, 11, 6}; }

class NativeBlocks : public ::testing::Test {
 protected:
  // 8-bit inputs err by about 1 % of a product, which may choose another expert; 12-bit ones by
  // less than bf16 rounds elsewhere.
  void expect_close(const Shape& shape, DType type) {
    SCOPED_TRACE(std::string(shape.golden) + " " + to_string(type));
    TemporaryFolder folder;
    std::string twin;
    const std::string model = blocks_of_family(shape, folder.path(), type, twin);
    const std::vector<float> expected = planned_logits(twin, prompt());
    const auto coarse = planned_logits(model, prompt(), with_inputs(InputPrecision::k8Bits)),
               fine = planned_logits(model, prompt(), with_inputs(InputPrecision::k12Bits));
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(planned_logits(model, prompt()), expected);  // unpacked to f32
    EXPECT_LT(nmse(coarse, expected), 0.1);
    EXPECT_LT(nmse(fine, expected), 1e-3);
    EXPECT_EQ(planned_logits(model, prompt(), f32_state("auto")), coarse);
  }
  Notices notices_;
};

TEST_F(NativeBlocks, EveryTypeIsExecuted) {
  for (const GgufBlockType& type : gguf_block_types())
    expect_close(kShapes[0], *dtype_of(type.type));
}

TEST_F(NativeBlocks, InEveryFamily) {
  for (const Shape& shape : kShapes) {
    for (const DType type : shape.types) expect_close(shape, type);
  }
}

TEST_F(NativeBlocks, PackIntoAFolderThatGivesTheSameBits) {
  for (const DType type : {DType::kQ8_0, DType::kQ4_K, DType::kIQ2_XS}) {
    TemporaryFolder folder;
    std::string twin;
    const std::string model = blocks_of_family(kShapes[1], folder.path(), type, twin),
                      packed = folder.path() + "/packed";
    const auto report = quantize(model, packed, {.weights = WeightPrecision::kNative});
    ASSERT_TRUE(report.ok()) << report.error().text();
    EXPECT_EQ(planned_logits(packed, prompt(), f32_state("auto")),
              planned_logits(model, prompt(), f32_state("auto")));
  }
}

}  // namespace
}  // namespace longhaul::testing
