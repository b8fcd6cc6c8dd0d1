// longhaul bench: speeds beside the machine's limits.
#include <filesystem>
#include <optional>

#include "cli/bench_chart.h"
#include "cli/command.h"
#include "cli/option_values.h"
#include "cli/output.h"
#include "longhaul/bench.h"
#include "longhaul/files.h"

namespace longhaul::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string model, chart;
  BenchOptions options;
  bool json = false;
};

// Of those by which a model is loaded.
bool is_file_of(const std::string& model, const std::string& path) {
  std::error_code failed;
  for (fs::directory_iterator it(model, failed), end; !failed && it != end; it.increment(failed)) {
    const fs::path extension = it->path().extension();
    const bool is_own =
        extension == ".json" || extension == ".jinja" || extension == ".safetensors";
    std::error_code ignored;
    if (is_own && fs::equivalent(it->path(), path, ignored)) return true;
  }
  return false;
}

Result<BenchResults> measure(Flags& f) {
  Progress progress;
  f.options.load.on_progress = [&](std::string_view what, double fraction) {
    progress(what, fraction);
  };
  return bench(f.model, f.options);
}

int bench_command(Flags& f) {
  std::optional<OutputFile> chart;  // before measuring: what cannot be written is told at once
  if (!f.chart.empty()) {
    if (is_file_of(f.model, f.chart))
      return fail({ErrorCode::kInvalidArgument,
                   f.chart + ": is a file of the model; write to another place"});
    Result<OutputFile> file = OutputFile::create(f.chart);
    if (!file.ok()) return fail(file.error());
    chart.emplace(std::move(*file));
  }
  const Result<BenchResults> results = measure(f);
  if (results.ok() && chart) {
    Status written = chart->write(bench_chart(*results));
    if (written.ok()) written = chart->commit();
    if (!written.ok()) return fail(written.error());
  }
  return print_report(results, f.json);
}

}  // namespace

void add_bench(CLI::App& app, Run& run) {
  auto f = std::make_shared<Flags>();
  CLI::App* c = app.add_subcommand("bench",
                                   "prefill and decode speed at context depths, beside the "
                                   "bandwidth and dot peak measured in the same run");
  c->add_option("MODEL", f->model, "model folder (see `longhaul synth` for one of any size)")
      ->required();
  add_counts(*c, "--prompt", f->options.prompts,
             "prompt lengths whose prefill is timed (default 512)", {.min = 1});
  add_counts(
      *c, "--depth", f->options.depths,
      "depths of context at which the last chunk's prefill and decoding are timed (default 0)");
  add_count(*c, "--gen", f->options.generate, "tokens to decode at each depth (default 64)");
  add_count(*c, "--repeats", f->options.repeats,
            "prefills of each length, of which the median counts (default 3)",
            {.min = 1, .max = 100});
  c->add_flag("--compare-row-skip", f->options.compare_row_skip,
              "time prefill with every row in every block too");
  c->add_flag("--fill", f->options.fill_state,
              "reach depths by filling the state with random values, not by reading tokens: a "
              "million takes seconds");
  add_output(*c, "--chart", f->chart,
             "write speeds and state over depth to this file, an SVG picture");
  c->add_flag("--json", f->json, "print JSON");
  add_load_options(*c, f->options.load);
  c->callback([f, &run] { run = [f] { return bench_command(*f); }; });
}

}  // namespace longhaul::cli
