// longhaul chat: a conversation in the terminal.
#include <fmt/format.h>
#include <histedit.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "longhaul/terminal.h"

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
    el_set(
        edit_, EL_PROMPT, +[](EditLine*) { return const_cast<char*>("> "); });
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
      if (!std::getline(std::cin, line)) return std::nullopt;
      return line;
    }
    int n = 0;
    const char* text = el_gets(edit_, &n);
    if (text == nullptr || n <= 0) return std::nullopt;
    line.assign(text, static_cast<size_t>(n));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    HistEvent event;
    if (!line.empty()) history(history_, &event, H_ENTER, line.c_str());
    return line;
  }

 private:
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
};

struct ChatFlags {
  std::string model, system, template_file;
  LoadOptions load;
  SamplingFlags sampling;
  GenerateOptions generate{};
  bool thinking = false, stats = false;
};

// The conversation as the template sees it, and the state that already holds a beginning of it.
class Conversation {
 public:
  Conversation(const Model& model, const ChatFlags& flags, std::string own_template)
      : model_(model), flags_(flags), template_(std::move(own_template)) {
    reset();
  }

  void reset() {
    messages_.clear();
    if (!flags_.system.empty()) add("system", flags_.system);
    session_.reset();
    held_.clear();
  }

  Result<Generation> say(const std::string& text, const OnText& on_text, Stats& stats) {
    add("user", text);
    Result<Generation> answer = respond(on_text, stats);
    if (answer.ok()) {
      add("assistant", answer->text);
    } else {
      messages_.pop_back();
      session_.reset();
    }
    return answer;
  }

 private:
  void add(const char* role, const std::string& content) {
    messages_.push_back(fmt::format("{{\"role\": \"{}\", \"content\": {}}}", role, json_escape(content)));
  }

  // Only what the state does not hold yet is taken in; where the template rewrote the past, everything is.
  Result<Generation> respond(const OnText& on_text, Stats& stats) {
    Result<std::string> text = model_.apply_chat_template(fmt::format("[{}]", fmt::join(messages_, ", ")), template_, flags_.thinking);
    if (!text.ok()) return text.take_error();
    Result<std::vector<int32_t>> all = model_.encode(*text);
    if (!all.ok()) return all.take_error();
    const bool continues = session_ && held_.size() < all->size() && std::equal(held_.begin(), held_.end(), all->begin());
    if (!continues) {
      Result<Session> fresh = Session::create(model_);
      if (!fresh.ok()) return fresh.take_error();
      session_.emplace(std::move(*fresh));
      held_.clear();
    }
    const std::vector<int32_t> added(all->begin() + static_cast<int64_t>(held_.size()), all->end());
    GenerateOptions options = flags_.generate;
    options.sampling = flags_.sampling.over(model_.default_sampling());
    Result<Generation> answer = session_->generate(added, options, on_text, stats);
    if (!answer.ok()) return answer;
    held_ = std::move(*all);
    held_.insert(held_.end(), answer->tokens.begin(), answer->tokens.end());
    held_.resize(static_cast<size_t>(session_->length()));  // the last token was chosen, not yet taken in
    return answer;
  }

  const Model& model_;
  const ChatFlags& flags_;
  std::string template_;
  std::vector<std::string> messages_;
  std::optional<Session> session_;
  std::vector<int32_t> held_;
};

int chat_command(ChatFlags& f) {
  std::string own;
  if (!f.template_file.empty()) {
    Result<std::string> read = read_text(f.template_file);
    if (!read.ok()) return fail(read.error());
    own = std::move(*read);
  }
  std::optional<Progress> progress(std::in_place);
  f.load.progress = [&](std::string_view what, double fraction) { (*progress)(what, fraction); };
  const Result<Model> model = Model::load(f.model, f.load);
  progress.reset();
  if (!model.ok()) return fail(model.error());
  if (!model->has_chat_template() && own.empty())
    return fail({ErrorCode::kNotFound, f.model + ": the checkpoint has no chat template; give one with --chat-template FILE"});

  struct sigaction on_interrupt {};
  on_interrupt.sa_handler = [](int) { interrupted = true; };
  ::sigaction(SIGINT, &on_interrupt, nullptr);
  if (stdin_is_terminal())
    fmt::print("{}: type a message; /reset begins anew, /quit or Ctrl-D ends, Ctrl-C stops an answer.\n", model->name());
  LineReader lines;
  Conversation conversation(*model, f, own);
  while (const auto line = lines.next()) {
    if (*line == "/quit" || *line == "/exit") break;
    if (line->empty()) continue;
    if (*line == "/reset") {
      conversation.reset();
      continue;
    }
    interrupted = false;
    Stats stats = model->load_stats();
    const Result<Generation> answer = conversation.say(
        *line,
        [](std::string_view piece) {
          std::fwrite(piece.data(), 1, piece.size(), stdout);
          std::fflush(stdout);
          return !interrupted.load();
        },
        stats);
    if (!answer.ok()) {
      fail(answer.error());
      if (!stdin_is_terminal()) return exit_status(answer.error().code);
      continue;
    }
    fmt::print("\n");
    if (f.stats) fmt::print(stderr, "{}", stats.to_text());
  }
  return 0;
}

}  // namespace

void add_chat(CLI::App& app, Run& run) {
  auto f = std::make_shared<ChatFlags>();
  f->generate.max_tokens = 1024;
  CLI::App* c = app.add_subcommand("chat", "a conversation in the terminal");
  c->add_option("MODEL", f->model, "folder with config.json, *.safetensors and tokenizer.json")->required();
  c->add_option("--system", f->system, "a system message");
  c->add_option("--chat-template", f->template_file, "a Jinja template to use instead of the checkpoint's");
  c->add_flag("--think", f->thinking, "let the model think first, where its template offers it");
  add_count(*c, "-n,--max-tokens", f->generate.max_tokens, "tokens of an answer at most (default 1024)");
  c->add_option("--stop", f->generate.stop, "text that ends an answer (may be given several times)");
  c->add_flag("--stats", f->stats, "tell speeds and bytes after each answer");
  f->sampling.add_to(*c);
  add_load_options(*c, f->load);
  c->callback([f, &run] { run = [f] { return chat_command(*f); }; });
}

}  // namespace longhaul::cli
