// What the commands share: options and progress.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "cli/output.h"
#include "longhaul/options.h"
#include "longhaul/sampling.h"

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
void add_doctor(CLI::App& app, Run& run);

// --weights, --kv, --inputs, --threads, --context, --chunk, --memory, --expert-cache, --set,
// --ignore-unknown-fields.
void add_load_options(CLI::App& command, LoadOptions& options);
// Sampling flags; those given are laid over the checkpoint's defaults.
class SamplingFlags {
 public:
  SamplingFlags() = default;
  SamplingFlags(const SamplingFlags&) = delete;
  void add_to(CLI::App& command);
  SamplingOptions over(SamplingOptions defaults) const;

 private:
  std::vector<std::function<void(SamplingOptions&)>> changes_;  // one for each flag that was given
};

void add_threads(CLI::App& command, int& threads);
void add_expert_cache(CLI::App& command, uint64_t& bytes);
// How config.json is read: --set FIELD=VALUE, may be given several times, and
// --ignore-unknown-fields.
void add_config_options(CLI::App& command, ConfigOptions& options);
// --lora DIR, of commands that read weights or price them.
void add_lora(CLI::App& command, ConfigOptions& options);
// One of the words for how weights or caches are kept; the value given is the default.
void add_weights(CLI::App& command, const std::string& name, WeightPrecision& value,
                 const std::string& help, const std::vector<std::string>& words);
void add_cache(CLI::App& command, CachePrecision& value, const std::string& help);
void add_inputs(CLI::App& command, InputPrecision& value);
void add_tables(CLI::App& command, TablePrecision& value);

// A file to write; - means standard output.
CLI::Option* add_output(CLI::App& command, const std::string& name, std::string& path,
                        const std::string& help);

// Prints one of the two faces of a report, or its error; the exit status.
template <class T>
int print_report(const Result<T>& report, bool json) {
  if (!report.ok()) return fail(report.error());
  print("{}\n", json ? to_json(*report) : to_text(*report));
  return 0;
}

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
