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
#include "longhaul/standard_streams.h"

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
  std::string model, system;
  LoadOptions load;
  SamplingFlags sampling;
  GenerateOptions generate{};
  ChatFlags chat;
  bool keep_reasoning = false, stats = false;
  CLI::Option* max_tokens_set = nullptr;
};

// The conversation as the template sees it, and the state that already holds a beginning of it.
class Conversation {
 public:
  Conversation(const Model& model, const Flags& flags, ChatOptions options)
      : model_(model), flags_(flags), options_(std::move(options)) {
    reset();
  }

  void reset() {
    messages_.clear();
    open_calls_.clear();
    answered_.clear();
    n_taken_ = 0;
    if (!flags_.system.empty()) add("system", flags_.system);
    session_.reset();
    held_.clear();
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
      add("user", text);
      return true;
    }
    const OpenCall& call = answered_.emplace_back(std::move(open_calls_.front()));
    open_calls_.pop_front();
    add("tool", text,
        fmt::format(", \"tool_call_id\": \"{}\", \"name\": {}", call.id, json_escape(call.name)));
    return open_calls_.empty();
  }

  // Generates the answer to what was taken and keeps it; where that fails, nothing was taken.
  Status respond(Stats& stats) {
    Result<ChatPrompt> prompt =
        model_.chat_prompt(fmt::format("[{}]", fmt::join(messages_, ", ")), options_);
    Status done = prompt.ok() ? generate(*prompt, stats) : Status(prompt.take_error());
    if (!done.ok()) {
      messages_.resize(messages_.size() - n_taken_);
      open_calls_ = std::move(answered_);
      session_.reset();
    }
    answered_.clear();
    n_taken_ = 0;
    return done;
  }

 private:
  struct OpenCall {
    std::string id, name;
  };

  void add(const char* role, const std::string& content, const std::string& more = "") {
    messages_.push_back(
        fmt::format("{{\"role\": \"{}\", \"content\": {}{}}}", role, json_escape(content), more));
  }

  // Reasoning is handed back in a field of its own: whether a later prompt shows it is for the
  // template to say.
  void add_answer(const Reply& reply) {
    std::string more, calls;
    if (!reply.reasoning.empty())
      more += fmt::format(", \"reasoning_content\": {}", json_escape(reply.reasoning));
    for (const ToolCall& call : reply.tool_calls) {
      open_calls_.push_back({fmt::format("call_{}", ++n_calls_), call.name});
      calls += fmt::format(
          R"({}{{"id": "{}", "type": "function", "function": {{"name": {}, "arguments": {}}}}})",
          calls.empty() ? "" : ", ", open_calls_.back().id, json_escape(call.name), call.arguments);
    }
    if (!calls.empty()) more += fmt::format(", \"tool_calls\": [{}]", calls);
    add("assistant", reply.content, more);
  }

  // Only what the state does not hold yet is taken in; where the template rewrote the past,
  // everything is.
  Status generate(ChatPrompt& prompt, Stats& stats) {
    const std::vector<int32_t>& all = prompt.tokens;
    const bool continues = session_ && held_.size() < all.size() &&
                           std::equal(held_.begin(), held_.end(), all.begin());
    if (!continues) {
      Result<Session> fresh = Session::create(model_);
      if (!fresh.ok()) return fresh.take_error();
      session_.emplace(std::move(*fresh));
      held_.clear();
    }
    const std::vector<int32_t> added(all.begin() + static_cast<int64_t>(held_.size()), all.end());
    GenerateOptions options = flags_.generate;
    options.sampling = flags_.sampling.over(model_.default_sampling());
    if (!*flags_.max_tokens_set)
      options.max_tokens =
          model_.default_max_tokens(static_cast<int64_t>(all.size()), options.max_tokens);
    options.visible_tokens = prompt.visible_tokens;
    ReplyPrinter printer;
    const OnText on_text = [&](std::string_view piece) {
      printer.print(prompt.reader.push(piece));
      return !interrupted.load() && !is_out_broken();
    };
    Result<Generation> answer = session_->generate(added, options, on_text, stats);
    if (!answer.ok()) return answer.take_error();
    printer.print(prompt.reader.finish());
    printer.end();
    if (!is_out_broken()) {
      tell_if_cut(answer->reason, model_.context(), &prompt.reader.reply(),
                  /*is_conversation=*/true);
      tell_lost_calls(prompt.reader.reply());
    }
    held_ = all;
    held_.insert(held_.end(), answer->tokens.begin(), answer->tokens.end());
    held_.resize(
        static_cast<size_t>(session_->length()));  // the last token was chosen, not yet taken in
    add_answer(prompt.reader.reply());
    return {};
  }

  const Model& model_;
  const Flags& flags_;
  ChatOptions options_;
  std::vector<std::string> messages_;
  std::deque<OpenCall> open_calls_, answered_;
  size_t n_taken_ = 0;  // messages since the last answer
  int64_t n_calls_ = 0;
  std::optional<Session> session_;
  std::vector<int32_t> held_;
};

// One line of the user's after the other, until there are no more; the program's exit status.
int converse(Conversation& conversation, const Model& model, const Flags& f) {
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
      Stats stats = model.load_stats();
      const Status answer = conversation.respond(stats);
      if (!answer.ok()) {
        const bool is_full = answer.error().code == ErrorCode::kOverBudget;
        const int status =
            fail({answer.error().code,
                  answer.error().message + (is_full ? ", or begin anew with /reset" : "")});
        if (!stdin_is_terminal()) return status;
        continue;
      }
      if (is_out_broken()) return 0;  // finish() tells, and makes it 2
      if (f.stats) write_err(stats.to_text());
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
  f.load.progress = [&](std::string_view what, double fraction) { (*progress)(what, fraction); };
  const Result<Model> model = Model::load(f.model, f.load);
  progress.reset();
  if (!model.ok()) return fail(model.error());
  if (!model->has_chat_format() && options->template_source.empty())
    return fail(
        {ErrorCode::kNotFound,
         f.model + ": the checkpoint has no chat template; give one with --chat-template FILE"});

  for (const std::string& note : model->generation_notes()) tell(note);
  struct sigaction on_interrupt{};
  on_interrupt.sa_handler = [](int) { interrupted = true; };
  ::sigaction(SIGINT, &on_interrupt, nullptr);
  if (stdin_is_terminal())
    print("{}: type a message; /reset begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer.\n",
          model->name());
  Conversation conversation(*model, f, std::move(*options));
  return converse(conversation, *model, f);
}

}  // namespace

void add_chat(CLI::App& app, Run& run) {
  auto f = std::make_shared<Flags>();
  f->generate.max_tokens = 1024;
  CLI::App* c = app.add_subcommand("chat", "a conversation in the terminal");
  c->add_option("MODEL", f->model, "folder with config.json, *.safetensors and tokenizer.json")
      ->required();
  c->add_option("--system", f->system, "a system message");
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
