#include <gmock/gmock.h>

#include "base/json.h"
#include "longhaul/bench.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

BenchResults results() {
  BenchResults r{.model = "a<b>&c",
                 .kernels = "ref",
                 .weights = "BF16",
                 .kv = "BF16",
                 .threads = 2,
                 .dot_peak = 1e9};
  r.prefills.push_back({.tokens = 512, .seconds = 2, .flops_per_second = 5e8});
  r.frontiers.push_back(
      {.depth = 0, .decode_tokens_per_second = 10, .read_bytes = 1000, .bandwidth = 20000});
  r.frontiers.push_back({.depth = 65536,
                         .prefill_tokens = 512,
                         .prefill_seconds = 4,
                         .decode_tokens_per_second = 5,
                         .read_bytes = 2000,
                         .state_bytes = 1 << 20,
                         .bandwidth = 20000});
  return r;
}

TEST(BenchReport, SharesFollowFromWhatWasMeasured) {
  const std::string text = to_text(results());
  EXPECT_THAT(text, HasSubstr("256.0"));  // tokens/s of the prompt
  EXPECT_THAT(text, HasSubstr("50.0 %"));
  EXPECT_THAT(text, HasSubstr("128.0"));  // and at depth
  const Json json = *parse_json(to_json(results()), "bench");
  const Json& at_depth = (*json.find("decode")->as_array())[1];
  EXPECT_DOUBLE_EQ(*at_depth.find("share_of_bandwidth")->as_double(), 0.5);
  EXPECT_DOUBLE_EQ(*at_depth.find("bound_tokens_per_second")->as_double(), 10.0);
  EXPECT_EQ((*json.find("decode")->as_array())[0].find("prefill_tokens"),
            nullptr);  // nothing was read at depth 0
}

}  // namespace
}  // namespace longhaul
