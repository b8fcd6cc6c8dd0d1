// Many answers at once: continuous batches over one model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "longhaul/generate.h"

namespace longhaul {

class EngineLoop;  // of the library's own

using RequestId = uint64_t;

struct Request {
  std::vector<int32_t> prompt;  // whole: what `session` holds of it is not read again
  GenerateOptions options;
  // A timeline to go on from, of the engine's model; it is handed back with the last event.
  std::optional<Session> session = {};
};

// What happened to a request. After kFinished nothing more does.
struct Event {
  enum class Kind {
    kPrefill,   // n_done of the prompt's n_total tokens are read
    kPiece,     // a token was chosen, text became certain
    kFinished,  // `generation` is whole, or `error` says why there is none
  };
  Kind kind = Kind::kPrefill;
  RequestId id = 0;
  int64_t n_done = 0, n_total = 0;
  Piece piece = {};
  Generation* generation = nullptr;  // kFinished without an error; may be moved from
  const Error* error = nullptr;      // kFinished
  Session* session = nullptr;        // kFinished of a request that began; may be moved from
};
// Pointers and views in an event are valid during the call.
using OnEvent = std::function<void(const Event& event)>;

struct EngineOptions {
  int64_t max_sequences = 0;   // served side by side; 0: the model's max_batch_sequences, at most
  int64_t max_waiting = 1024;  // requests beyond those; more are refused
  // Whether the engine runs on a thread of its own. Otherwise the program calls step().
  bool own_thread = true;
};

// Every step decodes a token of each answer under way and fills up with prompts, in the order they
// came. An answer is the same to the bit as that of a lone session, whatever runs beside it.
//
// Threads: submit(), cancel() and n_unfinished() from any thread, from within an event too. Events
// come on the engine's thread (or that of step()), one at a time; a slow handler delays all.
// Lifetime: an engine keeps its model alive. The destructor ends what is unfinished as cancelled,
// telling each, and returns when the engine's thread has ended: it must not run within an event.
class Engine {
 public:
  // kInvalidArgument for options out of range.
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<const Model> model,
                                                const EngineOptions& options = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a request. Its events may come before submit() returns.
  //   kInvalidArgument  an empty prompt, an id outside of the vocabulary, an option out of range, a
  //                     session on another model
  //   kOverBudget       the prompt does not fit the context, or too many requests wait
  // An error leaves nothing queued.
  Result<RequestId> submit(Request request, OnEvent on_event);
  // Ends a request before its next step: its last event has what was generated, with
  // StopReason::kCancelled. Other requests do not notice. False where it is finished, or unknown.
  bool cancel(RequestId id);
  // Requests whose last event has not been given.
  int64_t n_unfinished() const;

  // Without own_thread: runs one step, or nothing where nothing waits. Whether there is more to do.
  // One thread at a time.
  bool step();

 private:
  explicit Engine(std::unique_ptr<EngineLoop> loop);
  std::unique_ptr<EngineLoop> loop_;
};

}  // namespace longhaul
