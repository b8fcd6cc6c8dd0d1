// longhaul doctor: what a download is, and what is wrong with it.
#include "longhaul/doctor.h"

#include "cli/command.h"
#include "cli/output.h"

namespace longhaul::cli {
namespace {

struct Flags {
  std::string path;
  DoctorOptions options;
  bool tensors = false, quick = false, no_speed = false, json = false;
};

int exit_status_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kRuns: return 0;
    case Verdict::kDoesNotLoad: return 2;
    case Verdict::kTooLarge: return 3;
    case Verdict::kRunsDamaged: return 4;
  }
  return 1;
}

int doctor_command(Flags& f) {
  f.options.read_weights = !f.quick;
  f.options.measure = !f.no_speed;
  f.options.load.on_notice = {};  // they are among the findings
  const Result<Diagnosis> found = [&] {
    Progress progress;
    f.options.load.on_progress = [&](std::string_view what, double fraction) {
      progress(what, fraction);
    };
    return diagnose(f.path, f.options);
  }();
  if (!found.ok()) return fail(found.error());
  print("{}\n", f.json ? to_json(*found) : to_text(*found, {.all_tensors = f.tensors}));
  return exit_status_of(found->verdict);
}

}  // namespace

void add_doctor(CLI::App& app, Run& run) {
  auto f = std::make_shared<Flags>();
  CLI::App* c = app.add_subcommand(
      "doctor", "what a download is, what is wrong with it and how to mend it, whether it fits");
  c->add_option("PATH", f->path,
                "what was downloaded: a model folder, a GGUF file, any file that should be one")
      ->required();
  c->add_flag("--tensors", f->tensors, "list every tensor, not kinds of them");
  c->add_flag("--quick", f->quick,
              "read headers alone: damage within weights is not found then (default: read all of "
              "them once, as loading does)");
  c->add_flag("--no-speed", f->no_speed, "measure nothing and predict no speed");
  c->add_flag("--json", f->json, "print JSON, with every tensor");
  add_load_options(*c, f->options.load);
  c->footer(
      "Exit status: 0 it runs here. 2 it does not load: damaged, incomplete, of another kind, or\n"
      "not there. 3 it is sound, and too large for this memory with the context asked for. 4 it\n"
      "loads, and weights were found that cannot be right.\n"
      "Examples:\n"
      "  longhaul doctor ~/Downloads/model.gguf\n"
      "  longhaul doctor MODEL --memory 16GB --context 128k\n"
      "  longhaul plan MODEL --fit --memory 16GB     which form of it fits, and how fast it is");
  c->callback([f, &run] { run = [f] { return doctor_command(*f); }; });
}

}  // namespace longhaul::cli
