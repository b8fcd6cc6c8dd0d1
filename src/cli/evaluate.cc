// longhaul logits, score: what the model thinks of given tokens.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <span>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/option_values.h"
#include "cli/output.h"
#include "longhaul/files.h"
#include "longhaul/session.h"

namespace longhaul::cli {

namespace fs = std::filesystem;

namespace {

struct LogitsFlags {
  std::string model, tokens_file, output;
  int64_t decode_from = -1;
  LoadOptions load;
};

// A safetensors file's front: tensor "logits" [T, V] f32 and nothing else.
std::string safetensors_header(int64_t n_tokens, int64_t vocab_size) {
  const std::string json =
      fmt::format(R"({{"__metadata__":{{"format":"pt"}},"logits":{{"dtype":"F32","shape":[{},{}],)"
                  R"("data_offsets":[0,{}]}}}})",
                  n_tokens, vocab_size, n_tokens * vocab_size * int64_t{sizeof(float)});
  constexpr size_t kLengthBytes = 8, kAlignment = 64;  // of the data
  const size_t end = (kLengthBytes + json.size() + kAlignment - 1) / kAlignment * kAlignment;
  const std::string padded = json + std::string(end - kLengthBytes - json.size(), ' ');
  std::string front;
  for (int i = 0; i < 8; ++i)
    front += static_cast<char>(static_cast<uint64_t>(padded.size()) >> (8 * i));
  return front + padded;
}

// Logits of all positions, from position decode_from on (< 0: never) one token at a time.
Status write_logits(const std::shared_ptr<const Model>& model, const std::vector<int32_t>& tokens,
                    const std::string& path, int64_t chunk, int64_t decode_from) {
  const auto n_tokens = static_cast<int64_t>(tokens.size());
  const int64_t vocab_size = model->info().vocab_size;
  if (n_tokens == 0)
    return Error{ErrorCode::kInvalidArgument, "no tokens to run; give at least one"};
  if (model->owns_file(path))
    return Error{ErrorCode::kInvalidArgument,
                 path + ": is a file of the model; write to another place"};
  Result<OutputFile> out = OutputFile::create(path);
  if (!out.ok()) return out.take_error();
  Result<Session> session = Session::create(model);
  if (!session.ok()) return session.take_error();
  Status written = out->write(safetensors_header(n_tokens, vocab_size));
  const OnLogits write = [&](int64_t, int64_t n, const float* logits) {
    written = out->write(std::as_bytes(std::span(logits, static_cast<size_t>(n * vocab_size))));
    return written.ok();
  };
  const auto run = [&](std::span<const int32_t> part, int64_t step) {
    if (!written.ok() || part.empty()) return;
    Status ran = session->evaluate(part, write, step);
    if (written.ok() && !ran.ok()) written = std::move(ran);
  };
  const auto split =
      static_cast<size_t>(decode_from < 0 ? n_tokens : std::min(decode_from, n_tokens));
  run(std::span(tokens).first(split), chunk);
  // Each by a call of its own: nobody who decodes knows how long the text will be, and some models'
  // angles differ with it.
  for (size_t i = split; i < tokens.size(); ++i) run(std::span(tokens).subspan(i, 1), 1);
  return written.ok() ? out->commit() : std::move(written);
}

int logits_command(LogitsFlags& f) {
  std::error_code failed;
  if (fs::is_regular_file(f.output, failed) && fs::equivalent(f.output, f.tokens_file, failed)) {
    return fail(
        {ErrorCode::kInvalidArgument, f.output + ": holds the tokens; give --output another name"});
  }
  Progress progress;
  f.load.on_progress = [&](std::string_view what, double fraction) { progress(what, fraction); };
  const Result<std::vector<int32_t>> tokens = read_token_file(f.tokens_file);
  if (!tokens.ok()) return fail(tokens.error());
  f.load.all_logits = true;
  if (f.load.context == 0)
    f.load.context = std::max<int64_t>(1, static_cast<int64_t>(tokens->size()));
  const Result<std::shared_ptr<const Model>> model = Model::load(f.model, f.load);
  if (!model.ok()) return fail(model.error());
  const Status status =
      write_logits(*model, *tokens, f.output, f.load.max_batch_tokens, f.decode_from);
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
  f.load.on_progress = [&](std::string_view what, double fraction) { progress(what, fraction); };
  const Result<std::string> text = read_text(f.file);
  if (!text.ok()) return fail(text.error());
  f.load.all_logits = true;
  if (f.load.context == 0) f.load.context = f.window;
  const Result<std::shared_ptr<const Model>> model = Model::load(f.model, f.load);
  if (!model.ok()) return fail(model.error());
  const Result<std::vector<int32_t>> tokens = (*model)->encode(*text, /*with_bos=*/false);
  if (!tokens.ok()) return fail(tokens.error());
  const Result<Score> result = score(*model, *tokens, f.window);
  if (!result.ok()) return fail(result.error());
  if (f.json) {
    write_out(score_json(*result));
  } else {
    print("{} tokens in windows of {}: mean negative log-likelihood {:.4f}, perplexity {:.3f}\n",
          result->n_tokens, std::min(f.window, (*model)->info().context), result->nll,
          std::exp(result->nll));
  }
  return 0;
}

}  // namespace

void add_logits(CLI::App& app, Run& run) {
  auto f = std::make_shared<LogitsFlags>();
  CLI::App* c = app.add_subcommand("logits", "the raw logits of every position, as safetensors");
  c->add_option("MODEL", f->model, "model folder or GGUF file")->required();
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
  c->add_option("MODEL", f->model, "model folder or GGUF file")->required();
  c->add_option("-f,--file", f->file, "the text; - reads standard input")->required();
  add_count(*c, "--window", f->window,
            "tokens scored together, each window beginning anew (default 512)", {.min = 1});
  c->add_flag("--json", f->json, "print JSON with the value of each token");
  add_load_options(*c, f->load);
  c->callback([f, &run] { run = [f] { return score_command(*f); }; });
}

}  // namespace longhaul::cli
