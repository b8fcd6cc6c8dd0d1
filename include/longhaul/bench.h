// Speeds of a model beside the limits of the machine, measured in the same run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "longhaul/machine.h"
#include "longhaul/options.h"
#include "longhaul/result.h"

namespace longhaul {

struct BenchOptions {
  std::vector<int64_t> prompts = {512};  // prompt lengths whose prefill is timed
  // context depths at which the last chunk's prefill and decode are timed, in one growing sequence
  std::vector<int64_t> depths = {0};
  int64_t generate = 64;  // tokens decoded at each depth
  int repeats = 3;
  bool compare_row_skip = false;  // time prefill with all rows forced through all blocks too
  // reach a depth by filling the state with random values instead of reading so many tokens
  bool fill_state = false;
  LoadOptions load;  // its on_progress is told of measuring too
};

// Of experts that stay in their files, while something was timed.
struct ExpertUse {
  double hit_rate = 0;
  uint64_t read_bytes_per_token = 0;
};

// A prompt from an empty context.
struct PrefillResult {
  int64_t tokens = 0;
  double seconds = 0;
  double all_rows_seconds = 0;  // with every row in every block; 0: not asked for
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
  MachineSpeeds before, after;
  double dot_peak = 0;  // FLOP/s of the weights' dot instruction
  std::vector<PrefillResult> prefills;
  std::vector<FrontierResult> frontiers;
  uint64_t scratch_bytes = 0, peak_rss_bytes = 0, planned_bytes = 0;
};
std::string to_text(const BenchResults& results);
std::string to_json(const BenchResults& results);  // keys are stable

// Loads the model and measures. It takes 512 MiB for a look at the machine. One at a time in a
// process, with nothing beside it: it resets the system's count of peak memory.
Result<BenchResults> bench(const std::string& folder, const BenchOptions& options = {});

}  // namespace longhaul
