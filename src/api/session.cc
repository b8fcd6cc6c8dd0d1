#include "longhaul/session.h"

#include <algorithm>

#include "api/access.h"
#include "api/session_file.h"
#include "api/timeline.h"

namespace longhaul {

std::span<const int32_t> Snapshot::tokens() const { return past_->tokens; }
uint64_t Snapshot::state_bytes() const { return past_->state.allocated_bytes(); }

Session::Session(std::unique_ptr<Timeline> timeline) : timeline_(std::move(timeline)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Result<Session> Session::create(std::shared_ptr<const Model> model, const SessionOptions& options) {
  LH_TRY(std::unique_ptr<Timeline> timeline,
         Timeline::create(std::move(model), options.max_tokens));
  return Session(std::move(timeline));
}

Result<Session> Session::restore(std::shared_ptr<const Model> model, const std::string& path,
                                 const SessionOptions& options) {
  LH_TRY(std::unique_ptr<Timeline> timeline,
         read_session_file(std::move(model), path, options.max_tokens));
  return Session(std::move(timeline));
}

Status Session::save(const std::string& path) const { return write_session_file(*timeline_, path); }

const std::shared_ptr<const Model>& Session::model() const { return timeline_->model(); }
std::span<const int32_t> Session::tokens() const { return timeline_->tokens(); }
int64_t Session::max_tokens() const { return timeline_->max_tokens(); }
uint64_t Session::state_bytes() const { return timeline_->sequence().allocated_bytes(); }
std::span<const float> Session::logits() const { return timeline_->logits(); }
const std::string& Session::note() const { return timeline_->note(); }
void Session::set_note(std::string note) { timeline_->set_note(std::move(note)); }

namespace {

// Reads tokens chunk by chunk; logits of the last one alone are wanted.
Status read(Timeline& t, std::span<const int32_t> tokens, const OnPrefill& on_prefill) {
  const int64_t total = t.length() + static_cast<int64_t>(tokens.size());
  LH_RETURN_IF_ERROR(t.reserve(total));
  while (!tokens.empty()) {
    const size_t n = std::min(tokens.size(), static_cast<size_t>(t.loaded().limits.max_rows));
    const Timeline::Part part{&t, tokens.first(n), n == tokens.size(), total};
    LH_RETURN_IF_ERROR(Timeline::advance(part));
    tokens = tokens.subspan(n);
    if (on_prefill && !on_prefill(t.length(), total) && !tokens.empty())
      return make_error(ErrorCode::kCancelled, "stopped after {} of {} tokens", t.length(), total);
  }
  return {};
}

}  // namespace

Result<int64_t> Session::sync(std::span<const int32_t> prompt, const OnPrefill& on_prefill) {
  return sync(prompt, {}, on_prefill);
}

Result<int64_t> Session::sync(std::span<const int32_t> prompt, std::span<const Snapshot> snapshots,
                              const OnPrefill& on_prefill) {
  Timeline& t = *timeline_;
  if (prompt.empty()) return invalid("the prompt is empty; give at least one token");
  LH_RETURN_IF_ERROR(t.check(prompt, 0));
  LH_RETURN_IF_ERROR(t.keep_beginning(prompt, snapshots));
  const std::span rest = prompt.subspan(t.tokens().size());
  LH_RETURN_IF_ERROR(read(t, rest, on_prefill));
  return static_cast<int64_t>(rest.size());
}

Status Session::append(std::span<const int32_t> tokens, const OnPrefill& on_prefill) {
  LH_RETURN_IF_ERROR(timeline_->check(tokens, timeline_->length()));
  return read(*timeline_, tokens, on_prefill);
}

Status Session::evaluate(std::span<const int32_t> tokens, const OnLogits& on_logits,
                         int64_t chunk) {
  Timeline& t = *timeline_;
  LH_RETURN_IF_ERROR(t.check(tokens, t.length()));
  const int64_t total = t.length() + static_cast<int64_t>(tokens.size());
  LH_RETURN_IF_ERROR(t.reserve(total));
  const int64_t limit = t.loaded().limits.max_rows;
  const auto most = static_cast<size_t>(chunk > 0 ? std::min(chunk, limit) : limit);
  bool go_on = true;
  const LogitsSink sink = [&](size_t, int64_t first, int64_t n, const float* logits) {
    go_on = go_on && on_logits(first, n, logits);
    return true;
  };
  while (go_on && !tokens.empty()) {
    const size_t n = std::min(most, tokens.size());
    LH_RETURN_IF_ERROR(t.advance_with_all_logits(tokens.first(n), total, sink));
    tokens = tokens.subspan(n);
  }
  return {};
}

Result<Snapshot> Session::snapshot() const {
  LH_TRY(std::shared_ptr<const Past> past, timeline_->snapshot());
  return Access::snapshot(std::move(past));
}

Status Session::rewind(const Snapshot& snapshot) {
  return timeline_->rewind(*Access::of(snapshot));
}

Result<Session> Session::fork() const {
  LH_TRY(std::unique_ptr<Timeline> copy, timeline_->fork());
  return Session(std::move(copy));
}

}  // namespace longhaul
