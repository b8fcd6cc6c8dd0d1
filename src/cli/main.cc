// The program: one subcommand a file.
#include <algorithm>
#include <new>
#include <sstream>
#include <system_error>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/standard_streams.h"
#include "longhaul/planner.h"
#include "longhaul/process.h"

namespace longhaul::cli {
namespace {

void describe(CLI::App& app) {
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
}

// Breaks lines that a terminal of 80 columns would break within words; what an option does stays in
// its column.
std::string wrapped(const std::string& text) {
  constexpr size_t kWidth = 79, kColumn = 30;
  std::string out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string indent(line.starts_with("  ") ? kColumn : 0, ' ');
    while (line.size() > kWidth) {
      const size_t space = line.rfind(' ', kWidth);
      if (space == std::string::npos || space <= indent.size()) break;
      out += line.substr(0, space) + '\n';
      line = indent + line.substr(space + 1);
    }
    out += line + '\n';
  }
  return out;
}

int run_program(const std::vector<std::string>& given) {
  if (const Status caught = end_when_files_shrink(exit_status(ErrorCode::kIo)); !caught.ok())
    return fail(caught.error());
  CLI::App app(
      "Longhaul runs language models built for long context, straight from their\n"
      "checkpoints, and tells what every token of context costs before it is spent.",
      "longhaul");
  describe(app);
  Run run;
  for (const auto add : {add_run, add_chat, add_logits, add_score, add_inspect, add_plan, add_synth,
                         add_quantize, add_bench, add_doctor})
    add(app, run);
  const auto refuse = [&](const std::string& message) {
    return fail(
        {ErrorCode::kInvalidArgument, fmt::format("{} ({})", message, help_hint(app, given))});
  };
  Result<std::vector<std::string>> arguments = check_arguments(app, given);
  if (!arguments.ok()) return refuse(arguments.error().text());
  try {
    std::reverse(arguments->begin(), arguments->end());
    app.parse(std::move(*arguments));
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0) return refuse(e.what());
    std::ostringstream text;  // help, version
    app.exit(e, text, text);
    write_out(wrapped(text.str()));
    return 0;
  }
  return run();
}

// What no command expects ends in a line all the same.
int run_caught(const std::vector<std::string>& given) {
  try {
    return run_program(given);
  } catch (const std::bad_alloc&) {
    return fail(
        {ErrorCode::kOverBudget,
         "the system has no more memory to give; `longhaul plan` tells what a model needs"});
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::resource_unavailable_try_again)
      return fail({ErrorCode::kInternal, e.what()});
    return fail({ErrorCode::kOverBudget, "the system starts no more threads; use fewer --threads"});
  } catch (const std::exception& e) {
    return fail({ErrorCode::kInternal,
                 fmt::format("{}; this is a fault of the program, please report it", e.what())});
  }
}

}  // namespace
}  // namespace longhaul::cli

int main(int argc, char** argv) {
  longhaul::cli::claim_standard_streams();
  return longhaul::cli::finish(longhaul::cli::run_caught({argv + std::min(argc, 1), argv + argc}));
}
