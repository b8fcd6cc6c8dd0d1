// A loaded checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/chat.h"
#include "longhaul/options.h"
#include "longhaul/planner.h"
#include "longhaul/result.h"
#include "longhaul/sampling.h"

namespace longhaul {

struct ModelParts;  // of the library's own

struct ModelInfo {
  std::string name, family;
  int64_t vocab_size = 0, hidden_size = 0, n_layers = 0;
  int64_t max_positions = 0;         // that the model was made for
  int64_t context = 0;               // tokens of a sequence at most, as loaded
  int64_t max_batch_sequences = 0;   // as loaded
  std::vector<int32_t> stop_tokens;  // any of them ends an answer
  bool has_tokenizer = false;
  bool has_chat_format = false;  // a template, or the tokens of a format that needs none
};

// What loading took. The plan says what it was to take.
struct LoadStats {
  double seconds = 0;
  uint64_t weight_bytes_resident = 0, weight_bytes_mapped = 0;  // mapped: read by row
  uint64_t scratch_bytes = 0;
};

// What all steps since loading did.
struct WorkStats {
  uint64_t flops = 0;
  std::optional<ExpertStats> experts;  // where they stay in their files
};

// Weights, tokenizer, chat format and defaults of a checkpoint. Nothing of it changes after load().
//
// Threads: every method may be called from any thread at any time. Steps of different sessions and
// engines on one model take turns, a step at a time; an Engine runs several sequences in one step.
// Lifetime: sessions and engines keep their model alive.
class Model {
 public:
  // folder: config.json, *.safetensors, and for text tokenizer.json. What would not fit the memory
  // is refused before any weight is read, with the plan in the message (kOverBudget). An error
  // leaves nothing loaded.
  static Result<std::shared_ptr<const Model>> load(const std::string& folder,
                                                   const LoadOptions& options = {});
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // References stay valid as long as the model.
  const ModelInfo& info() const;
  const Plan& plan() const;  // of this load
  const LoadStats& load_stats() const;
  WorkStats work_stats() const;
  // Would one more session of max_tokens (0: the context) fit now, and to which length: max_tokens
  // if it fits whole, 0 if not even its first token does.
  int64_t tokens_that_fit(int64_t max_tokens = 0) const;

  // As generation_config.json recommends; what it leaves out is off.
  SamplingOptions default_sampling() const;
  // Tokens of an answer where the user gives no number: the file's max_new_tokens; else
  // `otherwise`, or less where its max_length leaves less behind a prompt of so many tokens. At
  // least 1.
  int64_t default_max_tokens(int64_t n_prompt_tokens, int64_t otherwise) const;
  // A line for each thing that generation_config.json asks for and that is not done here. Its other
  // rules (suppressed and forced tokens, bad words, lengths, stop strings) are part of every
  // answer.
  const std::vector<std::string>& generation_notes() const;

  // Token ids of a text. The beginning-of-sequence token stands in front if the tokenizer adds one
  // or the model needs it, unless with_bos is false. kNotFound without a tokenizer.
  Result<std::vector<int32_t>> encode(std::string_view text, bool with_bos = true) const;
  // The text of token ids; special tokens are left out. kNotFound without a tokenizer,
  // kInvalidArgument for an id outside of the vocabulary.
  Result<std::string> decode(std::span<const int32_t> tokens) const;
  // The prompt of a conversation, and the reader of its answer. kNotFound without a chat format,
  // kUnsupported if the format has no place for what the options ask.
  Result<ChatPrompt> chat_prompt(std::span<const Message> messages,
                                 const ChatOptions& options = {}) const;

  // Whether `path` is one of the files that the model was read from: no place for an output.
  bool owns_file(const std::string& path) const;

 private:
  friend struct Access;
  explicit Model(std::unique_ptr<ModelParts> parts);
  std::unique_ptr<ModelParts> parts_;
};

// Token ids of a JSON array, as files and requests bring them. Whether a model has them is not
// asked. kCorruptFile for what is no such array, with `where` in front. Any thread.
Result<std::vector<int32_t>> parse_token_ids(std::string_view json, std::string_view where);

}  // namespace longhaul
