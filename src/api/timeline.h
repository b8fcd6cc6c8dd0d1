// Tokens, the state that a model keeps of them, and the logits of the last: what stands behind a
// Session and a request of an Engine; and what stands behind a Snapshot of it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "api/model_parts.h"
#include "longhaul/session.h"

namespace longhaul {

// A timeline at some length, to come back to.
struct Past {
  std::shared_ptr<const Model> model;
  std::vector<int32_t> tokens;
  std::vector<float> logits;  // [V] of the last token, or empty
  StateSnapshot state;
};

class Timeline {
 public:
  static Result<std::unique_ptr<Timeline>> create(std::shared_ptr<const Model> model,
                                                  int64_t max_tokens);
  // Of a sequence that holds the tokens. logits: [V] or empty.
  Timeline(std::shared_ptr<const Model> model, Sequence sequence, std::vector<int32_t> tokens,
           std::vector<float> logits, std::string note);
  Result<std::unique_ptr<Timeline>> fork() const;

  const std::shared_ptr<const Model>& model() const { return model_; }
  const LoadedModel& loaded() const;
  const Sequence& sequence() const { return sequence_; }
  const std::vector<int32_t>& tokens() const { return tokens_; }
  int64_t length() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t max_tokens() const { return sequence_.max_tokens(); }
  const std::vector<float>& logits() const { return logits_; }
  const std::string& note() const { return note_; }
  void set_note(std::string note) { note_ = std::move(note); }

  // Draws the memory of n_tokens in all, so that steps up to there cannot lack it (Sequence).
  Status reserve(int64_t n_tokens);
  // What sync() and append() refuse before anything is changed.
  Status check(std::span<const int32_t> tokens, int64_t n_before) const;
  // Makes the timeline a beginning of `prompt`, as long as what is held allows: all of it only if
  // its logits are known.
  Status keep_beginning(std::span<const int32_t> prompt, std::span<const Snapshot> snapshots);
  Result<std::shared_ptr<const Past>> snapshot() const;
  Status rewind(const Past& past);

  // A part of a step: further tokens, and whether the last one's logits are wanted.
  struct Part {
    Timeline* timeline = nullptr;
    std::span<const int32_t> tokens;
    bool wants_logits = true;
    // of the whole text where it is known, as SequenceInput has it
    int64_t text_length = 0;
  };
  // One step of timelines on one model. Each has its tokens afterwards; where it fails, none
  // of them has.
  static Status advance(std::span<const Part> parts);
  static Status advance(const Part& part);  // allocates nothing
  // One step of this timeline that gives the logits of every token.
  Status advance_with_all_logits(std::span<const int32_t> tokens, int64_t text_length,
                                 const LogitsSink& sink);

 private:
  static Status advance(std::span<const Part> parts, std::span<SequenceInput> inputs);
  void take(std::span<const int32_t> tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }

  std::shared_ptr<const Model> model_;
  Sequence sequence_;
  std::vector<int32_t> tokens_;
  std::vector<float> logits_;  // [V] of the last token, or empty
  std::string note_;
};

}  // namespace longhaul
