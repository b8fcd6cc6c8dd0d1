// longhaul logits, score: what the model thinks of given tokens.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "cli/command.h"
#include "cli/option_values.h"
#include "cli/output.h"

namespace longhaul::cli {

namespace fs = std::filesystem;

namespace {

struct LogitsFlags {
  std::string model, tokens_file, output;
  int64_t decode_from = -1;
  LoadOptions load;
};

int logits_command(LogitsFlags& f) {
  std::error_code failed;
  if (fs::is_regular_file(f.output, failed) && fs::equivalent(f.output, f.tokens_file, failed)) {
    return fail(
        {ErrorCode::kInvalidArgument, f.output + ": holds the tokens; give --output another name"});
  }
  Progress progress;
  f.load.progress = [&](std::string_view what, double fraction) { progress(what, fraction); };
  const Result<std::vector<int32_t>> tokens = read_token_file(f.tokens_file);
  if (!tokens.ok()) return fail(tokens.error());
  f.load.all_logits = true;
  if (f.load.context == 0)
    f.load.context = std::max<int64_t>(1, static_cast<int64_t>(tokens->size()));
  const Result<Model> model = Model::load(f.model, f.load);
  if (!model.ok()) return fail(model.error());
  const Status status = write_logits(*model, *tokens, f.output, f.load.chunk, f.decode_from);
  return status.ok() ? 0 : fail(status.error());
}

struct ScoreFlags {
  std::string model, file;
  int64_t window = 512;
  LoadOptions load;
  bool json = false;
};

// A perplexity may be beyond all numbers, which JSON cannot say.
std::string json_number(double x) { return std::isfinite(x) ? fmt::format("{:.6f}", x) : "null"; }

std::string score_json(const Score& s) {
  std::string values;
  for (float v : s.token_nll) values += fmt::format("{}{:.6f}", values.empty() ? "" : ", ", v);
  return fmt::format(
      "{{\n\"tokens\": {},\n\"nll\": {:.6f},\n\"perplexity\": {},\n\"token_ids\": "
      "[{}],\n\"token_nll\": [{}]\n}}\n",
      s.n_tokens, s.nll, json_number(std::exp(s.nll)), fmt::join(s.tokens, ", "), values);
}

int score_command(ScoreFlags& f) {
  Progress progress;
  f.load.progress = [&](std::string_view what, double fraction) { progress(what, fraction); };
  const Result<std::string> text = read_text(f.file);
  if (!text.ok()) return fail(text.error());
  f.load.all_logits = true;
  if (f.load.context == 0) f.load.context = f.window;
  const Result<Model> model = Model::load(f.model, f.load);
  if (!model.ok()) return fail(model.error());
  const Result<std::vector<int32_t>> tokens = model->encode(*text, /*with_bos=*/false);
  if (!tokens.ok()) return fail(tokens.error());
  const Result<Score> result = score(*model, *tokens, f.window);
  if (!result.ok()) return fail(result.error());
  if (f.json) {
    write_out(score_json(*result));
  } else {
    print("{} tokens in windows of {}: mean negative log-likelihood {:.4f}, perplexity {:.3f}\n",
          result->n_tokens, std::min(f.window, model->context()), result->nll,
          std::exp(result->nll));
  }
  return 0;
}

}  // namespace

void add_logits(CLI::App& app, Run& run) {
  auto f = std::make_shared<LogitsFlags>();
  CLI::App* c = app.add_subcommand("logits", "the raw logits of every position, as safetensors");
  c->add_option("MODEL", f->model, "model folder")->required();
  c->add_option("--tokens-file", f->tokens_file, "a JSON array of token ids")->required();
  add_output(*c, "--output", f->output, "file to write: tensor \"logits\" [T, vocabulary] f32")
      ->required();
  add_count(*c, "--decode-from", f->decode_from, "from this position on, one token at a time");
  add_load_options(*c, f->load);
  c->callback([f, &run] { run = [f] { return logits_command(*f); }; });
}

void add_score(CLI::App& app, Run& run) {
  auto f = std::make_shared<ScoreFlags>();
  CLI::App* c = app.add_subcommand(
      "score", "how well the model predicts a text: negative log-likelihood and perplexity");
  c->add_option("MODEL", f->model, "model folder")->required();
  c->add_option("-f,--file", f->file, "the text; - reads standard input")->required();
  add_count(*c, "--window", f->window,
            "tokens scored together, each window beginning anew (default 512)", {.min = 1});
  c->add_flag("--json", f->json, "print JSON with the value of each token");
  add_load_options(*c, f->load);
  c->callback([f, &run] { run = [f] { return score_command(*f); }; });
}

}  // namespace longhaul::cli
