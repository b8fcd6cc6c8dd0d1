// The texts of a model that a GGUF file keeps as metadata, rebuilt as the files of a Hugging Face
// folder: tokenizer.json, tokenizer_config.json, generation_config.json.
//
// A vocabulary of sentencepiece has scores in place of merges. Every way to cut a token into two
// others is a merge, at the score of the token: sorted by score, then by the length of the left
// half, then of the right one, they are the merges that the tokenizer.json of the same model lists.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "base/json.h"
#include "formats/gguf_metadata.h"

namespace longhaul {

// How a text is split before it is merged: by a regular expression, and what becomes of its matches
// ("Isolated", "MergedWithNext").
struct GgufSplit {
  std::string regex, behaviour;
};

// What the family knows of its tokens, and files get wrong or leave out. Tokens by text: ids
// differ.
struct GgufTokenRules {
  std::vector<std::string> stops = {};    // end an answer, whatever the file names
  std::vector<std::string> control = {};  // mark turns, though some files call them text
  // Of a vocabulary as sentencepiece has it, with merges in place of scores: tokenizer.ggml.model.
  std::string merged_model = {};
  // Of a byte-level vocabulary: what tokenizer.ggml.pre may be, and the splits that it stands for.
  std::vector<std::string> pre = {};
  std::vector<GgufSplit> splits = {};
};

// `where` names the file in messages; of the metadata's keys, an error names the one at fault.

// Empty where the file has no tokenizer.
Result<std::optional<std::string>> gguf_tokenizer_json(const GgufMetadata& metadata,
                                                       const std::string& where,
                                                       const GgufTokenRules& rules);
// Names of special tokens, and the chat templates by name.
Result<Json> gguf_tokenizer_config(const GgufMetadata& metadata, const std::string& where);
// Ids that stop, defaults for sampling, ids that are never chosen.
Result<Json> gguf_generation_config(const GgufMetadata& metadata, const std::string& where,
                                    const GgufTokenRules& rules);

// How many tokens the file lists; nothing where it has no tokenizer.
std::optional<uint64_t> gguf_n_tokens(const GgufMetadata& metadata);

}  // namespace longhaul
