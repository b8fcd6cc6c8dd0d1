// longhaul chat: a conversation in the terminal.
#include <fmt/format.h>
#include <histedit.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <iostream>
#include <memory>
#include <optional>

#include "cli/chat_options.h"
#include "cli/command.h"
#include "cli/option_values.h"
#include "cli/output.h"
#include "cli/saved_session.h"
#include "cli/standard_streams.h"
#include "longhaul/generate.h"

namespace longhaul::cli {
namespace {

std::atomic<bool> interrupted{false};

// Lines from a terminal with editing and history, or plain from a pipe.
class LineReader {
 public:
  LineReader() {
    if (!stdin_is_terminal()) return;
    edit_ = el_init("longhaul", stdin, stdout, stderr);
    history_ = history_init();
    HistEvent event;
    history(history_, &event, H_SETSIZE, 1000);
    el_set(edit_, EL_PROMPT, +[](EditLine*) { return const_cast<char*>("> "); });
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_SIGNAL, 1);
    el_set(edit_, EL_HIST, history, history_);
  }
  ~LineReader() {
    if (edit_ == nullptr) return;
    history_end(history_);
    el_end(edit_);
  }
  LineReader(const LineReader&) = delete;

  std::optional<std::string> next() {
    std::string line;
    if (edit_ == nullptr) {
      if (std::getline(std::cin, line)) return line;
      if (std::ferror(stdin) != 0) failure_ = std::strerror(errno);
      return std::nullopt;
    }
    int n = 0;
    const char* text = el_gets(edit_, &n);
    if (text == nullptr || n <= 0) {
      if (stdout_is_terminal()) write_out("\n");  // behind the last "> "
      return std::nullopt;
    }
    line.assign(text, static_cast<size_t>(n));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    HistEvent event;
    if (!line.empty()) history(history_, &event, H_ENTER, line.c_str());
    return line;
  }

  // Why there are no more lines, where it is not that standard input ended.
  const std::string& failure() const { return failure_; }

 private:
  std::string failure_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
};

struct Flags {
  std::string model, system, session;
  LoadOptions load;
  SamplingFlags sampling;
  GenerateOptions generate{};
  ChatFlags chat;
  bool keep_reasoning = false, stats = false;
  CLI::Option* max_tokens_set = nullptr;
};

// The conversation as the template sees it, and the session that holds a beginning of it.
class Conversation {
 public:
  Conversation(SavedSession& saved, const Flags& flags, ChatOptions options)
      : saved_(saved), flags_(flags), options_(std::move(options)) {
    reset();
  }

  void reset() {
    messages_.clear();
    open_calls_.clear();
    answered_.clear();
    n_taken_ = 0;
    if (!flags_.system.empty()) messages_.push_back({Role::kSystem, flags_.system});
  }

  // Takes up the messages that the session's file brought.
  Status resume() {
    const std::string& note = saved_.session().note();
    if (note.empty() && saved_.session().tokens().empty()) {
      saved_.session().set_note(to_json(messages_));
      return {};
    }
    Result<std::vector<Message>> messages = parse_messages(note, saved_.path());
    if (!messages.ok())
      return Error{ErrorCode::kInvalidArgument,
                   saved_.path() + ": holds a text and no conversation; give another file"};
    if (messages->empty()) return {};
    messages_ = std::move(*messages);
    for (const Message& m : messages_) {
      for (const ToolCall& call : m.tool_calls) open_calls_.push_back(call);
      n_calls_ += static_cast<int64_t>(m.tool_calls.size());
      if (m.role == Role::kTool && !open_calls_.empty()) open_calls_.pop_front();
    }
    return {};
  }

  // The call that waits for its result, or null.
  const std::string* open_call() const {
    return open_calls_.empty() ? nullptr : &open_calls_.front().name;
  }

  // Takes the user's words, or, while calls are open, the result of the first of them. True: the
  // model is to answer.
  bool take(const std::string& text) {
    ++n_taken_;
    if (open_calls_.empty()) {
      messages_.push_back({Role::kUser, text});
      return true;
    }
    const ToolCall& call = answered_.emplace_back(std::move(open_calls_.front()));
    open_calls_.pop_front();
    messages_.push_back(
        {.role = Role::kTool, .content = text, .tool_call_id = call.id, .name = call.name});
    return open_calls_.empty();
  }

  // Generates the answer to what was taken and keeps it; where that fails, nothing was taken.
  Result<Timings> respond() {
    Result<ChatPrompt> prompt = saved_.session().model()->chat_prompt(messages_, options_);
    Result<Timings> done = prompt.ok() ? answer(*prompt) : Result<Timings>(prompt.take_error());
    if (!done.ok()) {
      messages_.resize(messages_.size() - n_taken_);
      open_calls_ = std::move(answered_);
    }
    answered_.clear();
    n_taken_ = 0;
    if (const Status saved = save(); done.ok() && !saved.ok()) return saved.error();
    return done;
  }

  Status save() {
    if (!saved_.is_kept()) return {};
    saved_.session().set_note(to_json(messages_));
    return saved_.save();
  }

 private:
  // Reasoning is handed back in a field of its own: whether a later prompt shows it is for the
  // template to say.
  void add_answer(const Reply& reply) {
    Message m{.role = Role::kAssistant, .content = reply.content, .reasoning = reply.reasoning};
    for (const ToolCall& call : reply.tool_calls) {
      m.tool_calls.push_back({call.name, call.arguments, fmt::format("call_{}", ++n_calls_)});
      open_calls_.push_back(m.tool_calls.back());
    }
    messages_.push_back(std::move(m));
  }

  Result<Generation> stream(ChatPrompt& prompt, ReplyPrinter& printer) {
    const Model& model = *saved_.session().model();
    GenerateOptions options = flags_.generate;
    options.sampling = flags_.sampling.over(model.default_sampling());
    if (!*flags_.max_tokens_set)
      options.max_tokens =
          model.default_max_tokens(static_cast<int64_t>(prompt.tokens.size()), options.max_tokens);
    options.visible_tokens = prompt.visible_tokens;
    Status saved;
    const OnPrefill on_prefill = [&](int64_t, int64_t) {
      saved = saved_.save_now_and_then();
      return !interrupted.load() && saved.ok();
    };
    const OnPiece on_piece = [&](const Piece& piece) {
      printer.print(prompt.reader.push(piece.text));
      return !interrupted.load() && !is_out_broken();
    };
    Result<Generation> answer =
        generate(saved_.session(), prompt.tokens, options, on_piece, on_prefill);
    if (!saved.ok()) return saved.error();
    return answer;
  }

  Result<Timings> answer(ChatPrompt& prompt) {
    ReplyPrinter printer;
    Result<Generation> answer = stream(prompt, printer);
    if (!answer.ok()) return answer.take_error();
    if (answer->reason == StopReason::kCancelled && answer->tokens.empty())
      return Error{ErrorCode::kCancelled, "stopped before the answer began; what was read is kept"};
    printer.print(prompt.reader.finish());
    printer.end();
    if (!is_out_broken()) {
      tell_if_cut(answer->reason, saved_.session().model()->info().context, &prompt.reader.reply(),
                  /*is_conversation=*/true);
      tell_lost_calls(prompt.reader.reply());
    }
    add_answer(prompt.reader.reply());
    return answer->timings;
  }

  SavedSession& saved_;
  const Flags& flags_;
  ChatOptions options_;
  std::vector<Message> messages_;
  std::deque<ToolCall> open_calls_, answered_;
  size_t n_taken_ = 0;  // messages since the last answer
  int64_t n_calls_ = 0;
};

// One line of the user's after the other, until there are no more; the program's exit status.
int converse(Conversation& conversation, const Session& session, const Flags& f) {
  LineReader lines;
  while (const auto line = lines.next()) {
    if (*line == "/quit" || *line == "/exit") break;
    if (line->empty()) continue;
    if (*line == "/reset") {
      conversation.reset();
      continue;
    }
    if (conversation.take(*line)) {
      interrupted = false;
      const Result<Timings> answer = conversation.respond();
      if (!answer.ok()) {
        const bool is_full = answer.error().code == ErrorCode::kOverBudget;
        const int status =
            fail({answer.error().code,
                  answer.error().message + (is_full ? ", or begin anew with /reset" : "")});
        if (!stdin_is_terminal()) return interrupted ? 130 : status;
        continue;
      }
      if (is_out_broken()) return 0;  // finish() tells, and makes it 2
      if (f.stats) write_err(to_text(run_stats(session, *answer)));
    }
    if (conversation.open_call() != nullptr && stdin_is_terminal())
      print("(the result of {}:)\n", *conversation.open_call());
  }
  if (lines.failure().empty()) return 0;
  return fail({ErrorCode::kIo,
               fmt::format("cannot read standard input: {}; give it a file, a pipe or a terminal",
                           lines.failure())});
}

int chat_command(Flags& f) {
  Result<ChatOptions> options = f.chat.options();
  if (!options.ok()) return fail(options.error());
  options->keep_reasoning = f.keep_reasoning;
  std::optional<Progress> progress(std::in_place);
  f.load.on_progress = [&](std::string_view what, double fraction) { (*progress)(what, fraction); };
  const Result<std::shared_ptr<const Model>> model = Model::load(f.model, f.load);
  progress.reset();
  if (!model.ok()) return fail(model.error());
  if (!(*model)->info().has_chat_format && options->template_source.empty())
    return fail(
        {ErrorCode::kNotFound,
         f.model + ": the checkpoint has no chat template; give one with --chat-template FILE"});

  Result<SavedSession> saved = SavedSession::open(*model, f.session);
  if (!saved.ok()) return fail(saved.error());
  for (const std::string& note : (*model)->generation_notes()) tell(note);
  struct sigaction on_interrupt{};
  on_interrupt.sa_handler = [](int) { interrupted = true; };
  ::sigaction(SIGINT, &on_interrupt, nullptr);
  if (stdin_is_terminal())
    print("{}: type a message; /reset begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer.\n",
          (*model)->info().name);
  Conversation conversation(*saved, f, std::move(*options));
  if (const Status resumed = conversation.resume(); !resumed.ok()) return fail(resumed.error());
  return converse(conversation, saved->session(), f);
}

}  // namespace

void add_chat(CLI::App& app, Run& run) {
  auto f = std::make_shared<Flags>();
  f->generate.max_tokens = 1024;
  CLI::App* c = app.add_subcommand("chat", "a conversation in the terminal");
  c->add_option("MODEL", f->model,
                "folder with config.json, *.safetensors (plain or quantised) and tokenizer.json, "
                "or a GGUF file")
      ->required();
  c->add_option("--system", f->system, "a system message");
  add_session(*c, f->session);
  f->chat.add_to(*c);
  c->add_flag(
      "--keep-reasoning", f->keep_reasoning,
      "leave the reasoning of earlier turns in the prompt, where the format lets one choose");
  f->max_tokens_set = add_count(
      *c, "-n,--max-tokens", f->generate.max_tokens,
      "tokens of an answer at most (default: as generation_config.json recommends, or 1024)");
  add_texts(*c, "--stop", f->generate.stop,
            "text that ends an answer (may be given several times)");
  c->add_flag("--stats", f->stats, "tell speeds and bytes after each answer");
  f->sampling.add_to(*c);
  add_load_options(*c, f->load);
  c->callback([f, &run] { run = [f] { return chat_command(*f); }; });
}

}  // namespace longhaul::cli
