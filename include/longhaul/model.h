// Models, sessions and generation: the public face of the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/chat.h"
#include "longhaul/result.h"
#include "longhaul/sampling.h"

namespace longhaul {

struct LoadOptions {
  std::string weights = "auto";  // auto (as in the checkpoint), f32, bf16, q8, q4, released (each
                                 // in its type in the checkpoint)
  std::string kv = "bf16";       // how keys and values are kept: bf16, f32, q8
  int threads = 0;               // 0: the processors this process may use
  // tokens a session may hold; 0: 4096, or the model's maximum where that is less
  int64_t context = 0;
  int64_t chunk = 512;      // tokens of a prompt per step
  int64_t sequences = 1;    // sequences per step
  bool all_logits = false;  // room for logits of many rows at a time (logits, score)
  // bytes of experts held at a time, the others stay in their files until chosen; 0: all are held
  uint64_t expert_cache = 0;
  // rows whose logits nobody wants stop at the last block that writes state
  bool skip_unneeded_rows = true;
  uint64_t memory_limit = 0;  // bytes; 0: what the system has available
  // Fields of config.json to change before it is read, each FIELD=VALUE: a dotted path and a JSON
  // value, as in "rope_parameters.full_attention.attention_factor=1.2"; null takes a field away.
  std::vector<std::string> config_overrides = {};
  // A field of config.json that could change results and is not known is an error, or with this a
  // notice.
  bool ignore_unknown_fields = false;
  std::function<void(std::string_view what, double fraction)> progress;  // of long waits
};

// What a cache of experts did since the model was loaded. An expert counts once for every step and
// layer where tokens chose it.
struct ExpertStats {
  int64_t n_experts = 0, n_slots = 0;  // of all layers; that are held at a time
  int64_t hits = 0, misses = 0;
  uint64_t read_bytes = 0;  // of the checkpoint, for the misses

  double hit_rate() const {
    return hits + misses > 0 ? static_cast<double>(hits) / static_cast<double>(hits + misses) : 0;
  }
};

// Figures of a run beside what the planner had announced.
struct Stats {
  int64_t prompt_tokens = 0, generated_tokens = 0;
  double load_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
  uint64_t state_bytes = 0, weight_bytes_resident = 0, weight_bytes_mapped = 0, scratch_bytes = 0,
           peak_rss_bytes = 0;
  uint64_t planned_state_bytes = 0, planned_weight_bytes = 0, planned_scratch_bytes = 0,
           planned_total_bytes = 0;
  uint64_t flops = 0;
  std::optional<ExpertStats> experts;  // where they stay in their files

  double prefill_tokens_per_second() const {
    return prefill_seconds > 0 ? static_cast<double>(prompt_tokens) / prefill_seconds : 0;
  }
  // The first generated token comes out of the prefill: without a second one there is no speed,
  // which is told as 0.
  double decode_tokens_per_second() const {
    return decode_seconds > 0 && generated_tokens > 1
               ? static_cast<double>(generated_tokens - 1) / decode_seconds
               : 0;
  }
  std::string to_json() const;
  std::string to_text() const;
};

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_tokens = 256;
  std::vector<std::string> stop;  // text that ends the output and is not part of it
  bool ignore_eos = false;
  // special tokens that are written out; the others are not part of the text
  std::vector<int32_t> visible_tokens;
};

enum class StopReason { kLength, kEndOfText, kStopString, kContextFull, kCancelled };
const char* to_string(StopReason reason);

struct Generation {
  std::string text;
  std::vector<int32_t> tokens;
  StopReason reason = StopReason::kLength;
};

class Session;

// A loaded checkpoint with its tokenizer and executor. Sessions hold the state of sequences; one
// thread uses a model at a time.
class Model {
 public:
  // folder: config.json, *.safetensors, and for text tokenizer.json. Refuses before loading what
  // would not fit in memory, with the plan.
  static Result<Model> load(const std::string& folder, const LoadOptions& options = {});
  Model(Model&&) noexcept;
  ~Model();

  const std::string& name() const;
  int64_t vocab_size() const;
  int64_t context() const;  // tokens a session may hold
  bool has_tokenizer() const;
  bool has_chat_format() const;  // a chat template, or the tokens of a format that needs none
  // As the checkpoint's generation_config.json recommends; what it leaves out is off.
  SamplingOptions default_sampling() const;
  // Tokens of an answer where the user gives no number: its max_new_tokens; else `otherwise`, or
  // less where its max_length leaves less behind a prompt of so many tokens. At least 1.
  int64_t default_max_tokens(int64_t n_prompt_tokens, int64_t otherwise) const;
  // A line for each file that asks generating for what is not done here, and names it. Its other
  // rules (suppressed and forced tokens, bad words, lengths, stop strings) are part of every
  // generate().
  const std::vector<std::string>& generation_notes() const;
  Stats load_stats() const;

  // Text to ids; the beginning-of-sequence id is put in front where the tokenizer asks for it and
  // the text does not bring it.
  Result<std::vector<int32_t>> encode(std::string_view text, bool with_bos = true) const;
  Result<std::string> decode(const std::vector<int32_t>& tokens) const;
  // messages: a JSON array of {"role", "content", ...}, with "reasoning_content" and "tool_calls"
  // in the model's turns and "tool_call_id" in tools' results, as in OpenAI's API; "arguments" of a
  // call is an object. kNotFound without a chat format, kUnsupported where the format has no place
  // for what the options ask.
  Result<ChatPrompt> chat_prompt(const std::string& messages,
                                 const ChatOptions& options = {}) const;

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  friend class Session;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Rows of logits [n_rows, V] beginning at a position; valid during the call. Returning false stops.
using OnLogits = std::function<bool(int64_t first_position, int64_t n_rows, const float* logits)>;
// Text as it becomes certain: whole characters, nothing that may turn out to be part of a stop
// string. Returning false stops.
using OnText = std::function<bool(std::string_view text)>;

class Session {
 public:
  static Result<Session> create(const Model& model);
  static Result<Session> restore(const Model& model, const std::string& path);
  Session(Session&&) noexcept;
  ~Session();

  int64_t length() const;        // tokens held
  uint64_t state_bytes() const;  // allocated
  Result<Session> fork() const;
  Status save(const std::string& path) const;

  // Takes tokens in, chunk by chunk, giving the logits of every position.
  Status logits(const std::vector<int32_t>& tokens, const OnLogits& on_logits, int64_t chunk = 0);
  // Takes the prompt in and generates. Adds to the stats.
  Result<Generation> generate(const std::vector<int32_t>& prompt, const GenerateOptions& options,
                              const OnText& on_text, Stats& stats);

 private:
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Mean negative log-likelihood in nats of each token given those before it, within windows of at
// most `window` tokens (0: the context).
struct Score {
  int64_t n_tokens = 0;
  double nll = 0;
  std::vector<float> token_nll;
  std::vector<int32_t> tokens;
};
Result<Score> score(const Model& model, const std::vector<int32_t>& tokens, int64_t window);

}  // namespace longhaul
