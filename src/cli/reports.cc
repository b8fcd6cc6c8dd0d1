// longhaul inspect, plan, synth, quantize: what needs no loaded weights.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/option_values.h"
#include "cli/output.h"
#include "longhaul/checkpoint.h"
#include "longhaul/fit.h"
#include "longhaul/planner.h"

namespace longhaul::cli {
namespace {

std::string join(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
  struct Flags {
    std::string model;
    InspectOptions options;
    bool json = false;
  };
  auto f = std::make_shared<Flags>();
  CLI::App* c = app.add_subcommand("inspect", "the architecture, block by block");
  c->add_option(
       "MODEL", f->model,
       "a model folder, a GGUF file, a config.json, or one of: " + join(bundled_model_names()))
      ->required();
  add_config_options(*c, f->options.config);
  c->add_flag("--json", f->json, "print JSON");
  f->options.on_notice = tell;
  c->callback(
      [f, &run] { run = [f] { return print_report(inspect(f->model, f->options), f->json); }; });
}

namespace {

struct PlanFlags {
  std::string model, against;
  PlanOptions options;
  bool fit = false, no_speed = false, json = false;
};

// What a grid varies by itself, or has no place for.
const char* clash_with_fit(const CLI::App& c) {
  for (const char* name : {"--weights", "--kv", "--what-if", "--against"}) {
    if (c.count(name) > 0) return name;
  }
  return nullptr;
}

int fit_command(const PlanFlags& f, const CLI::App& c) {
  if (const char* name = clash_with_fit(c))
    return fail({ErrorCode::kInvalidArgument,
                 fmt::format("{} has no place beside --fit, which sets rows of every --weights and "
                             "--kv side by side; leave one of the two out",
                             name)});
  const Result<FitTable> table = [&] {
    Progress progress;
    return fit(f.model, {.plan = f.options,
                         .measure = !f.no_speed,
                         .on_progress = [&](std::string_view what, double fraction) {
                           progress(what, fraction);
                         }});
  }();
  return print_report(table, f.json);
}

int plan_command(const PlanFlags& f, const CLI::App& c) {
  if (f.fit) return fit_command(f, c);
  return f.against.empty() ? print_report(plan(f.model, f.options), f.json)
                           : print_report(compare(f.model, f.against, f.options), f.json);
}

}  // namespace

void add_plan(CLI::App& app, Run& run) {
  auto f = std::make_shared<PlanFlags>();
  CLI::App* c = app.add_subcommand(
      "plan", "what a context costs: memory, work and bytes moved, before anything is loaded");
  c->add_option(
       "MODEL", f->model,
       "a model folder, a GGUF file, a config.json, or one of: " + join(bundled_model_names()))
      ->required();
  add_count(*c, "--context", f->options.context,
            "tokens of context, such as 128k (default: the model's maximum)", {.min = 1});
  add_count(*c, "--batch", f->options.batch, "sequences side by side (default 1)", {.min = 1});
  add_weights(*c, "--weights", f->options.weights,
              "how weights are kept: auto (as loading the folder would; bf16 without weights), "
              "f32, bf16, q8, q4, or released: as published",
              {"auto", "f32", "bf16", "q8", "q4", "released"});
  add_cache(*c, f->options.kv,
            "how keys and values are kept: bf16, f32, q8 (8 bits with a scale a vector), or "
            "released: as published");
  add_inputs(*c, f->options.inputs);
  c->add_flag("--fit", f->fit,
              "which form fits: every --weights and --kv at several contexts up to --context, with "
              "bytes, speeds predicted from what this machine is measured to do, and what to take");
  c->add_flag("--no-speed", f->no_speed, "with --fit: measure nothing and predict no speed");
  c->add_option("--against", f->against, "another model to set beside it, figure by figure")
      ->type_name("MODEL");
  add_texts(*c, "--what-if", f->options.what_if,
            "edit the model and price the result: " + join(what_if_edits()))
      ->type_name("NAME");
  add_bytes(*c, "--memory", f->options.memory,
            "memory that the largest context must fit, such as 24GiB (default: what is available)");
  add_count(*c, "--chunk", f->options.max_batch_tokens, "tokens of a prompt per step (default 512)",
            {.min = 1});
  add_threads(*c, f->options.threads);
  add_expert_cache(*c, f->options.expert_cache);
  add_config_options(*c, f->options.config);
  add_lora(*c, f->options.config);
  c->add_flag("--json", f->json, "print JSON");
  f->options.on_notice = tell;
  c->callback([f, c, &run] { run = [f, c] { return plan_command(*f, *c); }; });
}

void add_synth(CLI::App& app, Run& run) {
  struct Flags {
    std::string model, out;
    WeightPrecision packed = WeightPrecision::kAuto;  // not packed
    SynthOptions options;
  };
  auto f = std::make_shared<Flags>();
  CLI::App* c =
      app.add_subcommand("synth", "a random checkpoint with real tensor names and shapes");
  c->add_option("MODEL", f->model,
                "a config.json, its folder, or one of: " + join(bundled_model_names()))
      ->required();
  c->add_option("--out", f->out, "folder to write")->required();
  add_count(*c, "--layers", f->options.layers, "only so many layers (default, or 0: all)",
            {.max = 100000});
  add_seed(*c, [f](uint64_t seed) { f->options.seed = seed; }, "random seed (default 0)");
  add_weights(*c, "--weights", f->packed,
              "q4, q8 or bf16: a packed folder, as quantize writes it, of a model whose plain "
              "checkpoint may be too large for this machine",
              {"q4", "q8", "bf16"});
  add_weights(*c, "--dtype", f->options.dtype,
              "bf16, f32, or released: FP8 and FP4 where the model was published so",
              {"f32", "bf16", "released"});
  add_config_options(*c, f->options.config);
  c->callback([f, &run] {
    run = [f] {
      Progress progress;
      f->options.on_progress = [&](std::string_view what, double fraction) {
        progress(what, fraction);
      };
      f->options.on_notice = tell;
      if (f->packed != WeightPrecision::kAuto) f->options.packed = f->packed;
      const Status status = synthesize(f->model, f->out, f->options);
      return status.ok() ? 0 : fail(status.error());
    };
  });
}

void add_quantize(CLI::App& app, Run& run) {
  struct Flags {
    std::string model, out;
    QuantizeOptions options;
    bool json = false;
  };
  auto f = std::make_shared<Flags>();
  CLI::App* c = app.add_subcommand(
      "quantize", "a checkpoint as a folder of packed weights, which loads without work");
  c->add_option("MODEL", f->model, "model folder or GGUF file")->required();
  add_weights(*c, "--weights", f->options.weights,
              "q4, q8, bf16, or released: each in its type in the checkpoint",
              {"q4", "q8", "bf16", "released"});
  c->add_option("--out", f->out, "folder to write")->required();
  add_tables(*c, f->options.tables);
  add_threads(*c, f->options.threads);
  add_config_options(*c, f->options.config);
  add_lora(*c, f->options.config);
  c->add_flag("--json", f->json, "print JSON with the error of each weight");
  c->callback([f, &run] {
    run = [f] {
      const Result<QuantizeReport> report = [&] {
        Progress progress;
        f->options.on_progress = [&](std::string_view what, double fraction) {
          progress(what, fraction);
        };
        f->options.on_notice = tell;
        return quantize(f->model, f->out, f->options);
      }();
      return print_report(report, f->json);
    };
  });
}

}  // namespace longhaul::cli
