// Continuous batches. One thread, the loop's, owns what is running; other threads reach it through
// two lists under a lock, and the loop looks at them between steps.
#include "longhaul/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "api/access.h"
#include "api/timeline.h"
#include "base/system.h"

namespace longhaul {
namespace {

// A request that waits or runs.
struct Job {
  RequestId id = 0;
  std::vector<int32_t> prompt;
  GenerateOptions options;
  std::optional<Session> session;
  bool brought_session = false;
  OnEvent on_event;
  // From when it runs.
  std::optional<Answer> answer;
  int64_t n_reused = 0;
  double start = 0, first = 0;  // seconds: when it began to run, when its prompt was read

  Timeline& timeline() { return Access::of(*session); }
  // What the next step may read for it: the rest of the prompt, then the last token.
  bool is_reading() { return timeline().length() < static_cast<int64_t>(prompt.size()); }
};

int64_t total_of(const Job& job) { return static_cast<int64_t>(job.prompt.size()); }

}  // namespace

class EngineLoop {
 public:
  EngineLoop(std::shared_ptr<const Model> model, int64_t max_sequences, int64_t max_waiting)
      : model_(std::move(model)), max_sequences_(max_sequences), max_waiting_(max_waiting) {}

  ~EngineLoop() {
    {
      const std::lock_guard lock(mutex_);
      is_closing_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
    } else {
      end_all();
    }
  }

  void start_thread() {
    thread_ = std::thread([this] { run(); });
  }

  Result<RequestId> submit(Request request, OnEvent on_event);
  bool cancel(RequestId id);
  int64_t n_unfinished() const {
    const std::lock_guard lock(mutex_);
    return n_untold_;
  }
  bool step();

 private:
  Status check(const Request& request) const;
  void run();
  void take_commands();
  void end_all();
  void admit();
  bool has_memory(const Job& job) const;
  Status begin(Job& job);
  void run_step();
  void after_step(Job& job, const Status& status);
  void go_on(Job& job);
  void finish(Job& job, const Error* error);
  static void tell(const Job& job, Event event) {
    event.id = job.id;
    if (job.on_event) job.on_event(event);
  }

  const std::shared_ptr<const Model> model_;
  const int64_t max_sequences_, max_waiting_;

  mutable std::mutex mutex_;  // of the next six
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Job>> submitted_;
  std::unordered_set<RequestId> cancelled_;
  std::unordered_set<RequestId> unfinished_;  // that cancel() may end
  int64_t n_untold_ = 0;                      // requests without their last event
  bool is_closing_ = false;
  RequestId last_id_ = 0;

  // The loop's own.
  std::deque<std::unique_ptr<Job>> waiting_;
  std::vector<std::unique_ptr<Job>> running_;  // in the order in which they came
  std::thread thread_;
};

Status EngineLoop::check(const Request& request) const {
  const ModelParts& m = Access::of(*model_);
  const auto n = static_cast<int64_t>(request.prompt.size());
  if (n == 0) return invalid("the prompt is empty; give at least one token");
  LH_RETURN_IF_ERROR(check_options(m.answer_model(), request.options));
  LH_RETURN_IF_ERROR(m.loaded.check_tokens(request.prompt));
  if (request.session && request.session->model() != model_)
    return invalid("the session is on another model; give one on the engine's");
  const int64_t room = request.session ? request.session->max_tokens() : m.loaded.context;
  if (n > room)
    return make_error(
        ErrorCode::kOverBudget,
        "the prompt of {} tokens does not fit the context of {}; use a larger --context", n, room);
  return {};
}

Result<RequestId> EngineLoop::submit(Request request, OnEvent on_event) {
  LH_RETURN_IF_ERROR(check(request));
  auto job = std::make_unique<Job>();
  job->prompt = std::move(request.prompt);
  job->options = std::move(request.options);
  job->session = std::move(request.session);
  job->brought_session = job->session.has_value();
  job->on_event = std::move(on_event);
  RequestId id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (is_closing_) return make_error(ErrorCode::kCancelled, "the engine is being shut down");
    if (n_untold_ >= max_sequences_ + max_waiting_)
      return make_error(ErrorCode::kOverBudget,
                        "{} requests wait already; try again when some are answered", n_untold_);
    job->id = id = ++last_id_;
    unfinished_.insert(id);
    ++n_untold_;
    submitted_.push_back(std::move(job));
  }
  wake_.notify_one();
  return id;
}

bool EngineLoop::cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  if (!unfinished_.contains(id)) return false;
  cancelled_.insert(id);
  wake_.notify_one();
  return true;
}

void EngineLoop::run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] {
        return is_closing_ || !submitted_.empty() || !cancelled_.empty() || !running_.empty() ||
               !waiting_.empty();
      });
      if (is_closing_) break;
    }
    step();
  }
  end_all();
}

void EngineLoop::take_commands() {
  std::unordered_set<RequestId> cancelled;
  {
    const std::lock_guard lock(mutex_);
    std::move(submitted_.begin(), submitted_.end(), std::back_inserter(waiting_));
    submitted_.clear();
    cancelled.swap(cancelled_);
  }
  if (cancelled.empty()) return;
  const auto end = [&](std::unique_ptr<Job>& job) {
    if (!cancelled.contains(job->id)) return false;
    finish(*job, nullptr);
    return true;
  };
  std::erase_if(running_, end);
  std::erase_if(waiting_, end);
}

void EngineLoop::end_all() {
  take_commands();
  for (std::unique_ptr<Job>& job : waiting_) finish(*job, nullptr);
  for (std::unique_ptr<Job>& job : running_) finish(*job, nullptr);
  waiting_.clear();
  running_.clear();
}

// Whether there is memory for a session of its own, prompt and answer. A session that was brought
// may hold what it needs: begin() finds out.
bool EngineLoop::has_memory(const Job& job) const {
  if (job.session) return true;
  const LoadedModel& m = Access::of(*model_).loaded;
  const int64_t most = total_of(job) + std::min(job.options.max_tokens, m.context - total_of(job));
  return state_bytes(*m.arch, most, m.limits.kv) <= m.state_memory.free_bytes();
}

// Makes the timeline a beginning of the prompt, with the memory of all that may follow: a step of
// many requests is not to fail for one. Nothing is read yet.
Status EngineLoop::begin(Job& job) {
  const ModelParts& m = Access::of(*model_);
  job.start = now_seconds();
  const int64_t context = job.session ? job.session->max_tokens() : m.loaded.context;
  const int64_t room = context - total_of(job);
  const int64_t most = total_of(job) + std::min(job.options.max_tokens, room);
  if (!job.session) {
    LH_TRY(Session session, Session::create(model_, {.max_tokens = most}));
    job.session.emplace(std::move(session));
  }
  LH_RETURN_IF_ERROR(job.timeline().keep_beginning(job.prompt, {}));
  LH_RETURN_IF_ERROR(job.timeline().reserve(most));
  job.n_reused = job.timeline().length();
  job.answer.emplace(m.answer_model(), job.options, job.prompt, room);
  return {};
}

void EngineLoop::admit() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < max_sequences_) {
    // Those that run will leave memory.
    if (!running_.empty() && !has_memory(*waiting_.front())) return;
    std::unique_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    const Status begun = begin(*job);
    if (!begun.ok() && begun.error().code == ErrorCode::kOverBudget && !running_.empty()) {
      // Somebody else on the model was quicker, or the session brought needs more.
      if (!job->brought_session) job->session.reset();
      waiting_.push_front(std::move(job));
      return;
    }
    if (!begun.ok()) {
      finish(*job, &begun.error());
      continue;
    }
    if (!job->is_reading()) {
      job->first = job->start;
      go_on(*job);  // by the logits that the session brought
      if (job->answer->is_done()) continue;
    }
    running_.push_back(std::move(job));
  }
}

// A token of each answer first, then prompts, in the order in which they came.
void EngineLoop::run_step() {
  int64_t room = Access::of(*model_).loaded.limits.max_rows;
  std::vector<Timeline::Part> parts;
  std::vector<Job*> jobs;
  std::deque<int32_t> last_tokens;
  for (const auto& job : running_) {
    if (job->is_reading() || room == 0) continue;
    last_tokens.push_back(job->answer->last_token());
    parts.push_back({&job->timeline(), {&last_tokens.back(), 1}});
    jobs.push_back(job.get());
    --room;
  }
  for (const auto& job : running_) {
    if (!job->is_reading() || room == 0) continue;
    const auto rest = std::span(job->prompt).subspan(job->timeline().tokens().size());
    const auto n = std::min(rest.size(), static_cast<size_t>(room));
    parts.push_back({&job->timeline(), rest.first(n), n == rest.size(), total_of(*job)});
    jobs.push_back(job.get());
    room -= static_cast<int64_t>(n);
  }
  const Status status = Timeline::advance(parts);
  for (Job* job : jobs) after_step(*job, status);
  std::erase_if(running_, [](const std::unique_ptr<Job>& job) { return job->answer->is_done(); });
}

void EngineLoop::after_step(Job& job, const Status& status) {
  if (!status.ok()) {
    job.answer->cancel();
    return finish(job, &status.error());
  }
  if (job.first == 0) {
    tell(job, {.kind = Event::Kind::kPrefill,
               .n_done = job.timeline().length(),
               .n_total = total_of(job)});
    if (job.is_reading()) return;
    job.first = now_seconds();
  }
  go_on(job);
}

// Chooses the next token, and ends the request if nothing is to follow.
void EngineLoop::go_on(Job& job) {
  if (!job.answer->is_done()) {
    const Status taken = job.answer->take(job.timeline().logits(), [&](const Piece& piece) {
      tell(job, {.kind = Event::Kind::kPiece, .piece = piece});
      return true;
    });
    if (!taken.ok()) {
      job.answer->cancel();
      return finish(job, &taken.error());
    }
  }
  if (job.answer->is_done()) finish(job, nullptr);
}

// The last event. Before it is told the request can no longer be cancelled.
void EngineLoop::finish(Job& job, const Error* error) {
  {
    const std::lock_guard lock(mutex_);
    unfinished_.erase(job.id);
    cancelled_.erase(job.id);
  }
  Generation generation;
  if (job.answer) {
    job.answer->cancel();
    generation = job.answer->finish();
  } else {
    generation.reason = StopReason::kCancelled;
  }
  if (job.session && job.start > 0) {
    const double now = now_seconds(), first = job.first > 0 ? job.first : now;
    Timings& t = generation.timings;
    t.reused_tokens = job.n_reused;
    t.prompt_tokens = std::min(job.timeline().length(), total_of(job)) - job.n_reused;
    t.prefill_seconds = first - job.start;
    t.decode_seconds = now - first;
  }
  tell(job, {.kind = Event::Kind::kFinished,
             .n_total = total_of(job),
             .generation = error == nullptr ? &generation : nullptr,
             .error = error,
             .session = job.session ? &*job.session : nullptr});
  const std::lock_guard lock(mutex_);
  --n_untold_;
}

bool EngineLoop::step() {
  take_commands();
  admit();
  if (!running_.empty()) run_step();
  const std::lock_guard lock(mutex_);
  return !running_.empty() || !waiting_.empty() || !submitted_.empty() || !cancelled_.empty();
}

Engine::Engine(std::unique_ptr<EngineLoop> loop) : loop_(std::move(loop)) {}
Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const Model> model,
                                               const EngineOptions& options) {
  const int64_t most = model->info().max_batch_sequences;
  if (options.max_sequences < 0 || options.max_sequences > most)
    return invalid("an engine on this model serves 1 to {} sequences side by side, asked for {}",
                   most, options.max_sequences);
  if (options.max_waiting < 0)
    return invalid("requests that may wait must be at least 0, given {}", options.max_waiting);
  const int64_t n = options.max_sequences > 0 ? options.max_sequences : most;
  auto loop = std::make_unique<EngineLoop>(std::move(model), n, options.max_waiting);
  if (options.own_thread) loop->start_thread();
  return std::unique_ptr<Engine>(new Engine(std::move(loop)));
}

Result<RequestId> Engine::submit(Request request, OnEvent on_event) {
  return loop_->submit(std::move(request), std::move(on_event));
}
bool Engine::cancel(RequestId id) { return loop_->cancel(id); }
int64_t Engine::n_unfinished() const { return loop_->n_unfinished(); }
bool Engine::step() { return loop_->step(); }

}  // namespace longhaul
