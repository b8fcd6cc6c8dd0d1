// --session FILE: a timeline that outlives the program.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "longhaul/session.h"

namespace longhaul::cli {

void add_session(CLI::App& command, std::string& path);

class SavedSession {
 public:
  // The file's session, or an empty one where there is no such file. Without a path nothing is ever
  // saved.
  static Result<SavedSession> open(std::shared_ptr<const Model> model, const std::string& path);

  Session& session() { return session_; }
  bool is_kept() const { return !path_.empty(); }
  const std::string& path() const { return path_; }
  // Atomic: what was saved before stays until the new file is whole.
  Status save();
  // To be called between the steps of a long prefill: saves every so often, so that a program that
  // is killed has read in vain what came since. Takes a twentieth of the time at most.
  Status save_now_and_then();

 private:
  SavedSession(Session session, std::string path);

  Session session_;
  std::string path_;
  double last_save_ = 0, save_seconds_ = 0;
};

}  // namespace longhaul::cli
