// What the commands share: options, progress, errors, files.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "longhaul/model.h"
#include "longhaul/tools.h"

namespace longhaul::cli {

// A command adds itself and runs when chosen; it returns the program's exit status.
using Run = std::function<int()>;
void add_run(CLI::App& app, Run& run);
void add_chat(CLI::App& app, Run& run);
void add_logits(CLI::App& app, Run& run);
void add_score(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_plan(CLI::App& app, Run& run);
void add_synth(CLI::App& app, Run& run);
void add_quantize(CLI::App& app, Run& run);
void add_bench(CLI::App& app, Run& run);

// One line on standard error, "longhaul: ...", and the exit status for it.
int fail(const Error& error);

// A line on standard error, "longhaul: ...", of what runs and may not be what was meant.
void warn(std::string_view line);

// --weights, --kv, --threads, --context, --chunk, --memory, --expert-cache, --set,
// --ignore-unknown-fields; and warnings are printed.
void add_load_options(CLI::App& command, LoadOptions& options);
// Sampling flags; those given are laid over the checkpoint's defaults.
class SamplingFlags {
 public:
  void add_to(CLI::App& command);
  SamplingOptions over(SamplingOptions defaults) const;

 private:
  double temperature_ = 0, top_p_ = 0, min_p_ = 0, repetition_ = 0, presence_ = 0, frequency_ = 0;
  int64_t top_k_ = 0;
  uint64_t seed_ = 0;
  CLI::Option *temperature_set_ = nullptr, *top_p_set_ = nullptr, *min_p_set_ = nullptr, *repetition_set_ = nullptr,
              *presence_set_ = nullptr, *frequency_set_ = nullptr, *top_k_set_ = nullptr, *seed_set_ = nullptr;
};

void add_expert_cache(CLI::App& command, uint64_t& bytes);
// How config.json is read: --set FIELD=VALUE, may be given several times, and
// --ignore-unknown-fields.
void add_config_options(CLI::App& command, std::vector<std::string>& overrides, bool& ignore_unknown_fields);

// Options whose value is a count ("128k", "1M") or a size in bytes ("24GiB").
CLI::Option* add_count(CLI::App& command, const std::string& name, int64_t& value, const std::string& help, int64_t min = 0);
CLI::Option* add_counts(CLI::App& command, const std::string& name, std::vector<int64_t>& values, const std::string& help);
CLI::Option* add_bytes(CLI::App& command, const std::string& name, uint64_t& value, const std::string& help);

// A bar on a terminal's standard error for waits longer than a second; nothing elsewhere.
class Progress {
 public:
  ~Progress();
  void operator()(std::string_view what, double fraction);

 private:
  double first_ = 0, last_ = 0;
  bool shown_ = false;
};

std::string json_escape(std::string_view text);  // with quotes; invalid UTF-8 becomes U+FFFD

}  // namespace longhaul::cli
