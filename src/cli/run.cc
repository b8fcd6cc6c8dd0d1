// longhaul run: one completion, streamed.
#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <cstdio>

#include "cli/command.h"

namespace longhaul::cli {
namespace {

std::atomic<bool> interrupted{false};

struct RunFlags {
  std::string model, prompt, file, template_file;
  LoadOptions load;
  SamplingFlags sampling;
  GenerateOptions generate{};
  bool chat = false, stats = false, json = false, thinking = false;
  CLI::Option* prompt_set = nullptr;
};

Result<std::string> prompt_text(const RunFlags& f) {
  if (*f.prompt_set) return f.prompt;
  if (!f.file.empty()) return read_text(f.file);
  return Error{ErrorCode::kInvalidArgument, "no prompt: give one with -p TEXT, -f FILE, or - for standard input"};
}

Result<std::string> chat_prompt(const RunFlags& f, const Model& model, const std::string& text) {
  std::string own;
  if (!f.template_file.empty()) {
    Result<std::string> read = read_text(f.template_file);
    if (!read.ok()) return read.take_error();
    own = std::move(*read);
  }
  return model.apply_chat_template("[{\"role\": \"user\", \"content\": " + json_escape(text) + "}]", own, f.thinking);
}

std::string json_result(const Generation& g, const Stats& stats) {
  std::string tokens;
  for (int32_t t : g.tokens) tokens += (tokens.empty() ? "" : ", ") + std::to_string(t);
  return fmt::format("{{\n\"text\": {},\n\"tokens\": [{}],\n\"stop_reason\": \"{}\",\n\"stats\": {}\n}}\n", json_escape(g.text), tokens,
                     to_string(g.reason), stats.to_json());
}

int run_command(RunFlags& f) {
  Progress progress;
  f.load.progress = [&](std::string_view what, double fraction) { progress(what, fraction); };
  Result<std::string> text = prompt_text(f);
  if (!text.ok()) return fail(text.error());
  Result<Model> model = Model::load(f.model, f.load);
  if (!model.ok()) return fail(model.error());
  if (f.chat) text = chat_prompt(f, *model, *text);
  if (!text.ok()) return fail(text.error());
  Result<std::vector<int32_t>> prompt = model->encode(*text);
  if (!prompt.ok()) return fail(prompt.error());
  Result<Session> session = Session::create(*model);
  if (!session.ok()) return fail(session.error());

  f.generate.sampling = f.sampling.over(model->default_sampling());
  struct sigaction on_interrupt {};
  on_interrupt.sa_handler = [](int) { interrupted = true; };
  on_interrupt.sa_flags = static_cast<int>(SA_RESETHAND);  // a second Ctrl-C ends the program at once
  ::sigaction(SIGINT, &on_interrupt, nullptr);
  Stats stats = model->load_stats();
  const OnText print = [&](std::string_view piece) {
    if (!f.json) {
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    }
    return !interrupted;
  };
  const Result<Generation> result = session->generate(*prompt, f.generate, print, stats);
  if (!result.ok()) return fail(result.error());
  if (f.json) {
    fmt::print("{}", json_result(*result, stats));
  } else {
    fmt::print("\n");
  }
  if (f.stats) fmt::print(stderr, "\n{}", stats.to_text());
  return interrupted ? 130 : 0;
}

}  // namespace

void add_run(CLI::App& app, Run& run) {
  auto f = std::make_shared<RunFlags>();
  CLI::App* c = app.add_subcommand("run", "one completion of a prompt, streamed");
  c->add_option("MODEL", f->model, "folder with config.json, *.safetensors and tokenizer.json")->required();
  f->prompt_set = c->add_option("-p,--prompt", f->prompt, "the prompt");
  c->add_option("-f,--file,FILE", f->file, "read the prompt from a file; - reads standard input")->excludes(f->prompt_set);
  c->add_flag("--chat", f->chat, "put the prompt into the model's chat template");
  c->add_option("--chat-template", f->template_file, "a Jinja template to use instead of the checkpoint's");
  c->add_flag("--think", f->thinking, "with --chat: let the model think first, where its template offers it");
  add_count(*c, "-n,--max-tokens", f->generate.max_tokens, "tokens to generate at most (default 256)");
  c->add_option("--stop", f->generate.stop, "text that ends the output (may be given several times)");
  c->add_flag("--ignore-eos", f->generate.ignore_eos, "go on where the model would stop");
  c->add_flag("--stats", f->stats, "tell speeds and bytes afterwards, the plan beside them");
  c->add_flag("--json", f->json, "print one JSON object instead of text");
  f->sampling.add_to(*c);
  add_load_options(*c, f->load);
  c->callback([f, &run] { run = [f] { return run_command(*f); }; });
}

}  // namespace longhaul::cli
