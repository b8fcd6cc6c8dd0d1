#include "cost/released.h"

#include <algorithm>

#include "cost/cost_testing.h"

namespace longhaul {
namespace {

TEST(Released, LayersOfV4FlashAreThoseOfItsShards) {
  const ReleasedBytes bytes = released_bytes(described("deepseek-v4-flash"));
  EXPECT_EQ(bytes.layers[0], 3566148952u);  // a window alone, experts named by an I64 table
  EXPECT_EQ(bytes.layers[3], 3568596312u);  // heavily compressed
  EXPECT_EQ(bytes.layers[4], 3589851224u);  // sparse
  uint64_t layers = 0;
  for (uint64_t layer : bytes.layers) layers += layer;
  EXPECT_EQ(bytes.total - layers,
            1059061760u + 1059332116u);  // the embedding; the head with norm and collapse
}

TEST(Released, EqualsTheGoldenBytes) {
  for (const char* name : kDeepSeekPresets) {
    SCOPED_TRACE(name);
    const Json golden = *cost_golden(name).find("released");
    const ReleasedBytes bytes = released_bytes(described(name));
    EXPECT_EQ(bytes.total, integer(golden, "weight_bytes"));
    const Json::Array& layers = *golden.find("layer_bytes")->as_array();
    ASSERT_EQ(bytes.layers.size(), layers.size());
    for (size_t l = 0; l < layers.size(); ++l)
      EXPECT_EQ(bytes.layers[l], static_cast<uint64_t>(*layers[l].as_int())) << l;
  }
}

TEST(Released, PartialBlocksHaveWholeScales) {
  WeightSpec w{.use = WeightUse::kMatrix, .rows = 129, .cols = 33, .released = DType::kF8E4M3};
  EXPECT_EQ(released_bytes(w), 129u * 33 + 2);
  w.released_scales = DType::kF32;
  EXPECT_EQ(released_bytes(w), 129u * 33 + 8);
  w = {.use = WeightUse::kExpert, .n_experts = 3, .rows = 5, .cols = 33, .released = DType::kF4};
  EXPECT_EQ(released_bytes(w), 3u * 5 * (17 + 2));
  w.released = DType::kBF16;
  EXPECT_EQ(released_bytes(w), 3u * 5 * 33 * 2);
}

TEST(Released, ATiedTableCountsOnce) {
  const Architecture arch = described("gemma-4-E2B");
  uint64_t parameters = 0;
  for (const TensorSpec& t : arch.tensors) parameters += static_cast<uint64_t>(t.n_elements());
  EXPECT_EQ(released_bytes(arch).total, 2 * parameters);
}

}  // namespace
}  // namespace longhaul
