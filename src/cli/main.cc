// The program: one subcommand a file.
#include <csignal>

#include <fmt/format.h>

#include "cli/command.h"
#include "longhaul/process.h"
#include "longhaul/units.h"

int main(int argc, char** argv) {
  using namespace longhaul;
  using namespace longhaul::cli;
  // A reader that goes away (| head) ends the program quietly.
  std::signal(SIGPIPE, SIG_DFL);
  set_notice_handler([](std::string_view line) { fmt::print(stderr, "longhaul: {}\n", line); });
  if (const Status caught = end_when_files_shrink(exit_status(ErrorCode::kIo)); !caught.ok()) return fail(caught.error());
  CLI::App app(
      "Longhaul runs language models built for long context, straight from their checkpoints,\n"
      "and tells what every token of context costs before it is spent.",
      "longhaul");
  app.set_version_flag("--version", "longhaul " LONGHAUL_VERSION);
  app.require_subcommand(1);
  const std::string preset = bundled_model_names().front();
  app.footer(
      "Examples:\n"
      "  longhaul run models/demo -p \"In the beginning\"\n"
      "  longhaul plan " +
      preset +
      " --context 128k\n"
      "  longhaul synth " +
      preset +
      " --out random --layers 10 && longhaul bench random\n"
      "`longhaul COMMAND --help` tells more.");
  Run run;
  for (const auto add : {add_run, add_chat, add_logits, add_score, add_inspect, add_plan, add_synth, add_quantize, add_bench})
    add(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // help, version
    return fail({ErrorCode::kInvalidArgument, std::string(e.what()) + "; see --help"});
  }
  return run();
}
