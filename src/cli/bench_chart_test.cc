#include "cli/bench_chart.h"

#include <gmock/gmock.h>

namespace longhaul::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

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

TEST(BenchChart, StandsAloneAndEscapesNames) {
  const std::string svg = bench_chart(results());
  EXPECT_TRUE(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
  EXPECT_THAT(svg, HasSubstr("a&lt;b&gt;&amp;c"));
  EXPECT_THAT(svg, HasSubstr(">64k</text>"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_EQ(bench_chart({}), "");
}

}  // namespace
}  // namespace longhaul::cli
