// What `bench` measures, apart from how it is shown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "kernels/roofline.h"

namespace longhaul {

// Of experts that stay in their files, while something was timed.
struct ExpertUse {
  double hit_rate = 0;
  uint64_t read_bytes_per_token = 0;
};

// A prompt from an empty context.
struct PrefillResult {
  int64_t tokens = 0;
  double seconds = 0,
         all_rows_seconds = 0;  // the second with every row in every block, 0: not asked for
  double flops_per_second = 0;
  std::optional<ExpertUse> experts = {};

  double tokens_per_second() const { return static_cast<double>(tokens) / seconds; }
};

// Speeds with so many tokens of context behind.
struct FrontierResult {
  int64_t depth = 0;
  int64_t prefill_tokens = 0;  // the last of the depth, timed; 0: none
  double prefill_seconds = 0;
  double decode_tokens_per_second = 0;
  uint64_t read_bytes = 0, flops = 0;  // of a decoded token, as planned
  uint64_t state_bytes = 0;            // allocated
  double bandwidth = 0;                // of memory, taken every few tokens
  bool is_steady = true;  // else bandwidth moved around most of the tokens, and all of them count
  std::optional<ExpertUse> experts = {};

  double prefill_tokens_per_second() const {
    return prefill_tokens == 0 ? 0 : static_cast<double>(prefill_tokens) / prefill_seconds;
  }
  double bytes_per_second() const {
    return decode_tokens_per_second * static_cast<double>(read_bytes);
  }
  double share_of_bandwidth() const { return bytes_per_second() / bandwidth; }
  double bound_tokens_per_second() const { return bandwidth / static_cast<double>(read_bytes); }
};

struct BenchResults {
  std::string model, kernels, weights, kv;
  int threads = 0;
  int64_t context = 0;
  Roofline before, after;
  double dot_peak = 0;  // FLOP/s of the weights' dot instruction
  std::vector<PrefillResult> prefills;
  std::vector<FrontierResult> frontiers;
  uint64_t scratch_bytes = 0, peak_rss_bytes = 0, planned_bytes = 0;
};

std::string bench_text(const BenchResults& results);
Json bench_json(const BenchResults& results);
// Speeds and state over depth as one SVG picture that needs nothing else; empty without frontiers.
std::string bench_chart(const BenchResults& results);

}  // namespace longhaul
