// longhaul bench: speeds beside the machine's limits.
#include "cli/command.h"
#include "cli/option_values.h"

namespace longhaul::cli {

void add_bench(CLI::App& app, Run& run) {
  struct Flags {
    std::string model;
    BenchOptions options;
    bool json = false;
  };
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
  add_output(*c, "--chart", f->options.chart_file,
             "write speeds and state over depth to this file, an SVG picture");
  c->add_flag("--json", f->json, "print JSON");
  add_load_options(*c, f->options.load);
  c->callback([f, &run] {
    run = [f] {
      Result<Report> report = [&] {
        Progress progress;
        f->options.load.progress = [&](std::string_view what, double fraction) {
          progress(what, fraction);
        };
        return bench(f->model, f->options);
      }();
      return print_report(report, f->json);
    };
  });
}

}  // namespace longhaul::cli
