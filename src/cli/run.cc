// longhaul run: one completion, streamed.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <span>

#include "cli/chat_options.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/option_values.h"
#include "cli/output.h"
#include "cli/saved_session.h"
#include "longhaul/generate.h"

namespace longhaul::cli {
namespace {

std::atomic<bool> interrupted{false};

struct RunFlags {
  std::string model, prompt, file, session;
  LoadOptions load;
  SamplingFlags sampling;
  GenerateOptions generate{};
  ChatFlags chat_flags;
  bool chat = false, stats = false, json = false;
  CLI::Option *prompt_set = nullptr, *file_set = nullptr, *max_tokens_set = nullptr;

  bool has_prompt() const { return *prompt_set || !file.empty(); }
};

Error invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

Result<std::string> prompt_text(const RunFlags& f) {
  if (*f.prompt_set && *f.file_set) {
    return invalid(
        fmt::format("the prompt is given twice, by -p '{}' and as the file '{}'; leave one out, "
                    "and put a text of several words in quotes",
                    shown(f.prompt), shown(f.file)));
  }
  if (*f.prompt_set) return f.prompt;
  if (!f.file.empty()) return read_text(f.file);
  return invalid("no prompt: give one with -p TEXT, -f FILE, or - for standard input");
}

// What is to be answered, and how its answer is read.
struct Prompt {
  std::vector<int32_t> tokens;
  std::optional<ReplyReader> reader;
};

Result<Prompt> chat_prompt(RunFlags& f, const Model& model, const std::string& text) {
  Result<ChatOptions> options = f.chat_flags.options();
  if (!options.ok()) return options.take_error();
  const Message message{Role::kUser, text};
  Result<ChatPrompt> chat = model.chat_prompt(std::span(&message, 1), *options);
  if (!chat.ok()) return chat.take_error();
  f.generate.visible_tokens = std::move(chat->visible_tokens);
  return Prompt{std::move(chat->tokens), std::move(chat->reader)};
}

bool begins_with(std::span<const int32_t> text, std::span<const int32_t> beginning) {
  return beginning.size() <= text.size() &&
         std::equal(beginning.begin(), beginning.end(), text.begin());
}

// A note in the file while a prompt is read, so that nothing is put behind half of it.
constexpr const char* kReading = "reading a prompt";

// The whole timeline that a text makes of what a session holds. A text that it begins with is read
// on; one that stands at its beginning was read before; another one is put behind it.
Result<std::vector<int32_t>> continued(const RunFlags& f, const SavedSession& saved,
                                       const Session& session, std::vector<int32_t> tokens,
                                       const std::string& text) {
  const std::span held = session.tokens();
  if (held.empty() || begins_with(tokens, held)) return tokens;
  if (session.note() == kReading)
    return invalid(
        saved.path() +
        ": was stopped while it read a prompt; give the same one again, or another file");
  if (!session.note().empty())
    return invalid(saved.path() +
                   ": holds a conversation; `longhaul chat --session` goes on with it");
  std::vector<int32_t> all(held.begin(), held.end());
  if (text.empty() || begins_with(held, tokens)) return all;
  if (f.chat)
    return invalid(saved.path() +
                   ": holds another text; `longhaul chat --session` goes on with a conversation");
  Result<std::vector<int32_t>> added = session.model()->encode(text, /*with_bos=*/false);
  if (!added.ok()) return added.take_error();
  all.insert(all.end(), added->begin(), added->end());
  return all;
}

Result<Prompt> make_prompt(RunFlags& f, const std::string& text, const SavedSession& saved,
                           const Session& session) {
  const Model& model = *session.model();
  Prompt prompt;
  if (f.chat) {
    Result<Prompt> chat = chat_prompt(f, model, text);
    if (!chat.ok()) return chat.take_error();
    prompt = std::move(*chat);
  } else if (f.has_prompt()) {
    Result<std::vector<int32_t>> encoded = model.encode(text);
    if (!encoded.ok()) return encoded.take_error();
    prompt.tokens = std::move(*encoded);
  }
  Result<std::vector<int32_t>> whole = continued(f, saved, session, std::move(prompt.tokens), text);
  if (!whole.ok()) return whole.take_error();
  prompt.tokens = std::move(*whole);
  return prompt;
}

std::string json_result(const Generation& g, const Reply* reply, const RunStats& stats) {
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
      json_escape(g.text), parts, tokens, to_string(g.reason), to_json(stats));
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

  void end(const Generation& generation, const RunStats& stats) {
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

void catch_interrupt() {
  struct sigaction on_interrupt{};
  on_interrupt.sa_handler = [](int) { interrupted = true; };
  on_interrupt.sa_flags =
      static_cast<int>(SA_RESETHAND);  // a second Ctrl-C ends the program at once
  ::sigaction(SIGINT, &on_interrupt, nullptr);
}

// The last token was chosen, and is printed, but is not in the timeline: what goes on from there
// must not choose it again.
Status take_last_token(Session& session, const Generation& generation) {
  if (generation.tokens.empty() || generation.reason == StopReason::kEndOfText) return {};
  return session.append(std::span(generation.tokens).last(1));
}

// Reads the prompt and answers it; the session is saved whatever came of it.
Result<Generation> answer(SavedSession& saved, const Prompt& prompt, const RunFlags& f,
                          Output& output) {
  Session& session = saved.session();
  if (session.tokens().size() < prompt.tokens.size()) session.set_note(kReading);
  Status saved_status;
  const OnPrefill on_prefill = [&](int64_t, int64_t) {
    saved_status = saved.save_now_and_then();
    return !interrupted && saved_status.ok();
  };
  const OnPiece print = [&](const Piece& piece) {
    output.text(piece.text);
    return !interrupted && !is_out_broken();
  };
  Result<Generation> result = generate(session, prompt.tokens, f.generate, print, on_prefill);
  if (!saved_status.ok()) return saved_status.error();
  if (session.tokens().size() >= prompt.tokens.size()) session.set_note("");
  if (!saved.is_kept()) return result;
  Status kept = result.ok() ? take_last_token(session, *result) : Status();
  if (kept.ok()) kept = saved.save();
  if (!kept.ok() && result.ok()) return kept.error();
  return result;
}

int run_command(RunFlags& f) {
  if (!f.chat && f.chat_flags.given())
    return fail(invalid("--chat-template, --thinking, --think and --tools go with --chat"));
  Progress progress;
  f.load.on_progress = [&](std::string_view what, double fraction) { progress(what, fraction); };
  std::string text;
  if (f.has_prompt() || f.session.empty()) {
    Result<std::string> given = prompt_text(f);
    if (!given.ok()) return fail(given.error());
    text = std::move(*given);
  }
  const Result<std::shared_ptr<const Model>> model = Model::load(f.model, f.load);
  if (!model.ok()) return fail(model.error());
  Result<SavedSession> saved = SavedSession::open(*model, f.session);
  if (!saved.ok()) return fail(saved.error());
  Session& session = saved->session();
  Result<Prompt> prompt = make_prompt(f, text, *saved, session);
  if (!prompt.ok()) return fail(prompt.error());

  for (const std::string& note : (*model)->generation_notes()) tell(note);
  f.generate.sampling = f.sampling.over((*model)->default_sampling());
  if (!*f.max_tokens_set)
    f.generate.max_tokens = (*model)->default_max_tokens(
        static_cast<int64_t>(prompt->tokens.size()), f.generate.max_tokens);
  catch_interrupt();
  Output output(f.json, std::move(prompt->reader));
  const Result<Generation> result = answer(*saved, *prompt, f, output);
  if (!result.ok()) return fail(result.error());
  const RunStats stats = run_stats(session, result->timings);
  output.end(*result, stats);
  if (is_out_broken()) return 0;  // finish() tells, and makes it 2
  if (!f.json)
    tell_if_cut(result->reason, (*model)->info().context, output.reply(),
                /*is_conversation=*/false);
  if (f.stats) write_err("\n" + to_text(stats));
  return interrupted ? 130 : 0;
}

}  // namespace

void add_run(CLI::App& app, Run& run) {
  auto f = std::make_shared<RunFlags>();
  CLI::App* c = app.add_subcommand("run", "one completion of a prompt, streamed");
  c->add_option("MODEL", f->model,
                "folder with config.json, *.safetensors (plain or quantised) and tokenizer.json, "
                "or a GGUF file")
      ->required();
  f->prompt_set = c->add_option("-p,--prompt", f->prompt, "the prompt");
  f->file_set =
      c->add_option("-f,--file,FILE", f->file,
                    "read the prompt from a file, a pipe or a device; - is standard input");
  add_session(*c, f->session);
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
