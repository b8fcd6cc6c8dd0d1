#include "cli/saved_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "cli/output.h"

namespace longhaul::cli {

static double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void add_session(CLI::App& command, std::string& path) {
  command
      .add_option("--session", path,
                  "go on from the timeline in this file, and keep it there: what is in it is not "
                  "read again. Ctrl-C or a crash keeps what was read")
      ->type_name("FILE");
}

SavedSession::SavedSession(Session session, std::string path)
    : session_(std::move(session)), path_(std::move(path)), last_save_(now()) {}

Result<SavedSession> SavedSession::open(std::shared_ptr<const Model> model,
                                        const std::string& path) {
  if (!path.empty()) {
    Result<Session> restored = Session::restore(model, path);
    if (restored.ok()) {
      tell(fmt::format("{}: {} tokens are kept and need not be read again", path,
                       restored->tokens().size()));
      return SavedSession(std::move(*restored), path);
    }
    if (restored.error().code != ErrorCode::kNotFound) return restored.take_error();
  }
  Result<Session> fresh = Session::create(std::move(model));
  if (!fresh.ok()) return fresh.take_error();
  SavedSession session(std::move(*fresh), path);
  // What cannot be written is told before the work is done.
  if (const Status saved = session.save(); !saved.ok()) return saved.error();
  return session;
}

Status SavedSession::save() {
  if (!is_kept()) return {};
  const double start = now();
  Status saved = session_.save(path_);
  last_save_ = now();
  save_seconds_ = last_save_ - start;
  return saved;
}

Status SavedSession::save_now_and_then() {
  constexpr double kSeconds = 1, kShare = 20;
  if (!is_kept() || now() - last_save_ < std::max(kSeconds, kShare * save_seconds_)) return {};
  return save();
}

}  // namespace longhaul::cli
