// What the program offers besides running a model: plans, descriptions, random and quantised
// checkpoints, benchmarks, logits files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/model.h"
#include "longhaul/result.h"

namespace longhaul {

// The same answer for people and for programs.
struct Report {
  std::string text;
  std::string json;
};

struct PlanOptions {
  int64_t context = 0;  // tokens; 0: the model's maximum
  int64_t batch = 1;
  std::string weights = "auto";  // auto (as loading would keep them, bf16 where there are none),
                                 // f32, bf16, q8, q4, released
  std::string kv = "bf16";       // f32, bf16, q8, released: in the cache format of the release
  // another model, as `model` below: the report is then of both side by side
  std::string against = {};
  std::vector<std::string> what_if;  // edits of the description, by name
  uint64_t memory = 0;               // bytes to fit; 0: what the system has available
  int64_t chunk = 512;
  int threads = 0;
  uint64_t expert_cache = 0;  // as in LoadOptions
  // As in LoadOptions.
  std::vector<std::string> config_overrides = {};
  bool ignore_unknown_fields = false;
};

struct InspectOptions {
  // As in LoadOptions.
  std::vector<std::string> config_overrides = {};
  bool ignore_unknown_fields = false;
};

// model: a folder with a config.json, a config.json, or the name of a bundled model. Weights are
// not read, but what the files of a folder with a checkpoint say of them: what a plan says of such
// a folder is what loading it takes, and what could not be loaded is an error. inspect_model goes
// by the config alone where the files do not fit it.
Result<Report> plan_model(const std::string& model, const PlanOptions& options);
Result<Report> inspect_model(const std::string& model, const InspectOptions& options = {});
std::vector<std::string> bundled_model_names();
std::vector<std::string> what_if_edits();

struct SynthOptions {
  int64_t layers = 0;  // 0: all; fewer keep the last of each kind of layer as long as possible
  uint64_t seed = 0;
  std::string dtype = "bf16";  // f32, bf16, released
  // q4, q8, bf16: a packed folder as quantize would write it; empty: a plain checkpoint
  std::string weights = {};
  // As in LoadOptions; the new config.json has the changes.
  std::vector<std::string> config_overrides = {};
  bool ignore_unknown_fields = false;
  std::function<void(double fraction)> progress;
};
// Writes a random checkpoint of a bundled model or of a config.json, with the real tensor names and
// shapes.
Status synthesize(const std::string& model, const std::string& folder, const SynthOptions& options);

struct QuantizeOptions {
  std::string weights = "q4";  // q4, q8, bf16, released: each in its type in the checkpoint
  int threads = 0;             // 0: the processors this process may use
  // As in LoadOptions; the new config.json has the changes.
  std::vector<std::string> config_overrides = {};
  bool ignore_unknown_fields = false;
  std::function<void(double fraction)> progress;
};
// Writes the checkpoint in a folder as a new folder of weights packed as the kernels read them,
// which loads without work; tokenizer and templates are copied along. The report tells what
// rounding did to each kind of weight. Nothing is left where it fails; a folder that is there is an
// error.
Result<Report> quantize(const std::string& model, const std::string& out,
                        const QuantizeOptions& options);

// Logits of all positions into a safetensors file, tensor "logits" [T, V] f32. From position
// decode_from on (< 0: never) one token at a time. A file appears whole or not at all; a pipe or a
// device is written to as it is. A file of the model itself is refused.
Status write_logits(const Model& model, const std::vector<int32_t>& tokens, const std::string& path,
                    int64_t chunk, int64_t decode_from);
// A JSON array of token ids, from where read_text reads.
Result<std::vector<int32_t>> read_token_file(const std::string& path);
// A text from a file of any kind, pipes and devices too, or from standard input for "-". Larger
// than max_bytes is an error.
Result<std::string> read_text(const std::string& path, uint64_t max_bytes = uint64_t{1} << 30);

struct BenchOptions {
  std::vector<int64_t> prompts = {512};  // prompt lengths whose prefill is timed
  // context depths at which the last chunk's prefill and decode are timed, in one growing sequence
  std::vector<int64_t> depths = {0};
  int64_t generate = 64;  // tokens decoded at each depth
  int repeats = 3;
  bool compare_row_skip = false;  // time prefill with all rows forced through all blocks too
  // reach a depth by filling the state with random values instead of reading so many tokens
  bool fill_state = false;
  // where to write speeds and state over depth as an SVG picture; empty: nowhere
  std::string chart_file = {};
  LoadOptions load;
};
// Prefill and decode speed, state bytes and the share of the roofline measured in the same run.
Result<Report> bench(const std::string& folder, const BenchOptions& options);

}  // namespace longhaul
