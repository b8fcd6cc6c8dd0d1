// One timeline of tokens, and the state that a model keeps of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "longhaul/model.h"
#include "longhaul/result.h"

namespace longhaul {

class Timeline;  // of the library's own
struct Past;

// A timeline at some length, to come back to. A value: copies share memory, any thread may hold
// one, and it keeps its model alive.
class Snapshot {
 public:
  std::span<const int32_t> tokens() const;  // valid as long as a copy of the snapshot lives
  uint64_t state_bytes() const;             // that it holds, shared ones included

 private:
  friend struct Access;
  explicit Snapshot(std::shared_ptr<const Past> past) : past_(std::move(past)) {}
  std::shared_ptr<const Past> past_;
};

// Called between the steps of a prompt, on the calling thread. n_done of n_total tokens are part of
// the session's timeline; its const methods, save() among them, may be called meanwhile. Returning
// false stops.
using OnPrefill = std::function<bool(int64_t n_done, int64_t n_total)>;
// Rows of logits [n_rows, V] beginning at a position; valid during the call. Returning false stops.
using OnLogits = std::function<bool(int64_t first_position, int64_t n_rows, const float* logits)>;

struct SessionOptions {
  int64_t max_tokens = 0;  // tokens that the timeline may hold; 0: the model's context
};

// Threads: one thread at a time uses a session; different sessions may run on different threads.
// Lifetime: a session keeps its model alive; it may be moved, not copied (see fork()).
// Errors: unless a method says otherwise, an error leaves the session as it was. A method that
// reads tokens keeps those of the steps that went well: tokens() tells how far it came, and
// calling it again goes on from there.
class Session {
 public:
  // An empty timeline. kInvalidArgument for more tokens than the model's context, kOverBudget
  // without memory.
  static Result<Session> create(std::shared_ptr<const Model> model,
                                const SessionOptions& options = {});
  // The timeline of a file that save() wrote. kNotFound without a file; kCorruptFile for one that
  // is damaged, or of another model or other weights; kOverBudget where it holds more tokens than
  // may be; kInvalidArgument where its cache is kept in another format.
  static Result<Session> restore(std::shared_ptr<const Model> model, const std::string& path,
                                 const SessionOptions& options = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  const std::shared_ptr<const Model>& model() const;
  // The tokens that the state holds, no more and no fewer. Valid until the next call that is not
  // const.
  std::span<const int32_t> tokens() const;
  int64_t max_tokens() const;
  uint64_t state_bytes() const;  // allocated

  // Makes the timeline equal to `prompt` and returns how many tokens were evaluated. What both have
  // in common at the beginning is kept if it is all that the timeline holds; else it begins anew.
  // Afterwards logits() are those of the prompt's last token.
  //   kInvalidArgument  an empty prompt, an id outside of the vocabulary
  //   kOverBudget       longer than max_tokens
  //   kCancelled        on_prefill returned false
  Result<int64_t> sync(std::span<const int32_t> prompt, const OnPrefill& on_prefill = {});
  // The same, where the timeline may be rewound to one of the snapshots: to the longest that
  // `prompt` begins with.
  Result<int64_t> sync(std::span<const int32_t> prompt, std::span<const Snapshot> snapshots,
                       const OnPrefill& on_prefill = {});
  // Reads further tokens. Errors as of sync().
  Status append(std::span<const int32_t> tokens, const OnPrefill& on_prefill = {});
  // Reads further tokens, giving the logits of every one of them. Where on_logits returns false it
  // is called no more and the tokens of its step are read; that is no error.
  //   chunk  tokens of a step; 0: as many as the model takes
  Status evaluate(std::span<const int32_t> tokens, const OnLogits& on_logits, int64_t chunk = 0);

  // [V], of the last token; empty where none are known: in an empty timeline, and behind an error.
  // Valid until the next call that is not const.
  std::span<const float> logits() const;

  // kOverBudget without memory.
  Result<Snapshot> snapshot() const;
  // Makes the timeline what it was. The snapshot may be of another session on the same model, if
  // both may hold equally many tokens, or both more than the longest sliding window. Otherwise
  // kInvalidArgument; kOverBudget if it is longer than max_tokens.
  Status rewind(const Snapshot& snapshot);
  // A second session with the same past, which goes its own way.
  Result<Session> fork() const;

  // Tokens, state, logits and note in a file, which appears whole or not at all: a crash leaves the
  // one before. Of several that write the same file the last one wins.
  Status save(const std::string& path) const;
  // Bytes of the program's own that live with the timeline: saved, restored and forked with it, and
  // never looked at.
  const std::string& note() const;
  void set_note(std::string note);

 private:
  friend struct Access;
  explicit Session(std::unique_ptr<Timeline> timeline);
  std::unique_ptr<Timeline> timeline_;
};

// Mean negative log-likelihood in nats of each token given those before it, within windows of at
// most `window` tokens (0: the context).
struct Score {
  int64_t n_tokens = 0;
  double nll = 0;
  std::vector<float> token_nll;
  std::vector<int32_t> tokens;
};
// Any thread. kInvalidArgument where there is nothing to score, kCorruptFile where logits are no
// numbers.
Result<Score> score(const std::shared_ptr<const Model>& model, std::span<const int32_t> tokens,
                    int64_t window);

}  // namespace longhaul
