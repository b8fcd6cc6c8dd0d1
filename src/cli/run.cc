// longhaul run: one completion, streamed.
#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <optional>

#include "cli/chat_options.h"
#include "cli/command.h"
#include "cli/option_values.h"
#include "cli/output.h"

namespace longhaul::cli {
namespace {

std::atomic<bool> interrupted{false};

struct RunFlags {
  std::string model, prompt, file;
  LoadOptions load;
  SamplingFlags sampling;
  GenerateOptions generate{};
  ChatFlags chat_flags;
  bool chat = false, stats = false, json = false;
  CLI::Option *prompt_set = nullptr, *file_set = nullptr, *max_tokens_set = nullptr;
};

Result<std::string> prompt_text(const RunFlags& f) {
  if (*f.prompt_set && *f.file_set) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the prompt is given twice, by -p '{}' and as the file '{}'; leave "
                             "one out, and put a text of several words "
                             "in quotes",
                             shown(f.prompt), shown(f.file))};
  }
  if (*f.prompt_set) return f.prompt;
  if (!f.file.empty()) return read_text(f.file);
  return Error{ErrorCode::kInvalidArgument,
               "no prompt: give one with -p TEXT, -f FILE, or - for standard input"};
}

Result<ChatPrompt> chat_prompt(const RunFlags& f, const Model& model, const std::string& text) {
  Result<ChatOptions> options = f.chat_flags.options();
  if (!options.ok()) return options.take_error();
  return model.chat_prompt("[{\"role\": \"user\", \"content\": " + json_escape(text) + "}]",
                           *options);
}

std::string json_result(const Generation& g, const Reply* reply, const Stats& stats) {
  std::string tokens, parts;
  for (int32_t t : g.tokens) tokens += (tokens.empty() ? "" : ", ") + std::to_string(t);
  if (reply != nullptr) {
    parts = fmt::format(
        "\"reasoning\": {},\n\"content\": {},\n\"tool_calls\": {},\n\"reply_notes\": {},\n",
        json_escape(reply->reasoning), json_escape(reply->content),
        tool_calls_json(reply->tool_calls), reply_notes_json(reply->notes));
  }
  return fmt::format(
      "{{\n\"text\": {},\n{}\"tokens\": [{}],\n\"stop_reason\": \"{}\",\n\"stats\": {}\n}}\n",
      json_escape(g.text), parts, tokens, to_string(g.reason), stats.to_json());
}

// Writes what is generated to standard output: as it comes, or split into the parts of an answer.
class Output {
 public:
  Output(bool json, std::optional<ReplyReader> reader) : json_(json), reader_(std::move(reader)) {}

  void text(std::string_view piece) {
    if (reader_) {
      parts(reader_->push(piece));
    } else if (!json_) {
      write_out(piece);
    }
  }

  void end(const Generation& generation, const Stats& stats) {
    if (reader_) parts(reader_->finish());
    json_ ? (void)write_out(json_result(generation, reply(), stats)) : printer_.end();
    if (!json_ && reply() != nullptr) tell_lost_calls(*reply());
  }

  const Reply* reply() const { return reader_ ? &reader_->reply() : nullptr; }

 private:
  void parts(const std::vector<ReplyPart>& parts) {
    if (!json_) printer_.print(parts);
  }

  bool json_;
  std::optional<ReplyReader> reader_;
  ReplyPrinter printer_;
};

int run_command(RunFlags& f) {
  if (!f.chat && f.chat_flags.given()) {
    return fail({ErrorCode::kInvalidArgument,
                 "--chat-template, --thinking, --think and --tools go with --chat"});
  }
  Progress progress;
  f.load.progress = [&](std::string_view what, double fraction) { progress(what, fraction); };
  Result<std::string> text = prompt_text(f);
  if (!text.ok()) return fail(text.error());
  Result<Model> model = Model::load(f.model, f.load);
  if (!model.ok()) return fail(model.error());
  std::vector<int32_t> prompt;
  std::optional<ReplyReader> reader;
  if (f.chat) {
    Result<ChatPrompt> chat = chat_prompt(f, *model, *text);
    if (!chat.ok()) return fail(chat.error());
    prompt = std::move(chat->tokens);
    f.generate.visible_tokens = std::move(chat->visible_tokens);
    reader = std::move(chat->reader);
  } else {
    Result<std::vector<int32_t>> encoded = model->encode(*text);
    if (!encoded.ok()) return fail(encoded.error());
    prompt = std::move(*encoded);
  }
  Result<Session> session = Session::create(*model);
  if (!session.ok()) return fail(session.error());

  for (const std::string& note : model->generation_notes()) tell(note);
  f.generate.sampling = f.sampling.over(model->default_sampling());
  if (!*f.max_tokens_set)
    f.generate.max_tokens =
        model->default_max_tokens(static_cast<int64_t>(prompt.size()), f.generate.max_tokens);
  struct sigaction on_interrupt{};
  on_interrupt.sa_handler = [](int) { interrupted = true; };
  on_interrupt.sa_flags =
      static_cast<int>(SA_RESETHAND);  // a second Ctrl-C ends the program at once
  ::sigaction(SIGINT, &on_interrupt, nullptr);
  Stats stats = model->load_stats();
  Output output(f.json, std::move(reader));
  const OnText print = [&](std::string_view piece) {
    output.text(piece);
    return !interrupted && !is_out_broken();
  };
  const Result<Generation> result = session->generate(prompt, f.generate, print, stats);
  if (!result.ok()) return fail(result.error());
  output.end(*result, stats);
  if (is_out_broken()) return 0;  // finish() tells, and makes it 2
  if (!f.json)
    tell_if_cut(result->reason, model->context(), output.reply(), /*is_conversation=*/false);
  if (f.stats) write_err("\n" + stats.to_text());
  return interrupted ? 130 : 0;
}

}  // namespace

void add_run(CLI::App& app, Run& run) {
  auto f = std::make_shared<RunFlags>();
  CLI::App* c = app.add_subcommand("run", "one completion of a prompt, streamed");
  c->add_option("MODEL", f->model, "folder with config.json, *.safetensors and tokenizer.json")
      ->required();
  f->prompt_set = c->add_option("-p,--prompt", f->prompt, "the prompt");
  f->file_set =
      c->add_option("-f,--file,FILE", f->file,
                    "read the prompt from a file, a pipe or a device; - is standard input");
  c->add_flag("--chat", f->chat, "put the prompt into the model's chat template");
  f->chat_flags.add_to(*c);
  f->max_tokens_set = add_count(
      *c, "-n,--max-tokens", f->generate.max_tokens,
      "tokens to generate at most (default: as generation_config.json recommends, or 256)");
  add_texts(*c, "--stop", f->generate.stop,
            "text that ends the output (may be given several times)");
  c->add_flag("--ignore-eos", f->generate.ignore_eos, "go on where the model would stop");
  c->add_flag("--stats", f->stats, "tell speeds and bytes afterwards, the plan beside them");
  c->add_flag("--json", f->json,
              "print one JSON object instead of text; with --chat it has reasoning, content, "
              "tool_calls and reply_notes apart");
  f->sampling.add_to(*c);
  add_load_options(*c, f->load);
  c->callback([f, &run] { run = [f] { return run_command(*f); }; });
}

}  // namespace longhaul::cli
