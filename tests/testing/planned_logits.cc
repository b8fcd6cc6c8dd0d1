#include "testing/planned_logits.h"

#include "longhaul/planner.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {

LoadOptions f32_state(const std::string& weights) {
  LoadOptions o;
  o.weights = *parse_weights(weights);
  o.kv = CachePrecision::kF32;
  o.context = 384;
  o.all_logits = true;
  return o;
}

std::vector<float> planned_logits(const std::string& path, const std::vector<int32_t>& prompt,
                                  const LoadOptions& load) {
  const auto model = LoadedModel::load(path, load);
  EXPECT_TRUE(model.ok()) << path << ": " << (model.ok() ? "" : model.error().text());
  if (!model.ok()) return {};
  EXPECT_EQ(model->weights->resident_bytes(), model->plan.weight_bytes);
  const auto priced = plan(path, {.context = load.context, .weights = load.weights, .kv = load.kv});
  EXPECT_TRUE(priced.ok());
  if (priced.ok() && load.expert_cache == 0) {
    EXPECT_EQ(priced->weight_bytes, model->weights->resident_bytes());
    EXPECT_EQ(priced->weight_bytes_mapped, model->weights->mapped_bytes);
  }
  return run_logits(*model, prompt, 0);
}

}  // namespace longhaul::testing
