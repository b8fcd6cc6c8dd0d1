// A folder that appears whole or not at all: filled under a temporary name beside its target, then renamed.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace longhaul {

class AtomicFolder {
 public:
  // kInvalidArgument where the target is there already and is no empty folder.
  static Result<AtomicFolder> create(const std::string& target);
  AtomicFolder(AtomicFolder&&) noexcept;
  AtomicFolder& operator=(AtomicFolder&&) = delete;
  ~AtomicFolder();  // not committed: all of it is removed

  const std::filesystem::path& path() const { return temporary_; }  // to write to
  Status commit();                                                  // rename onto the target

 private:
  AtomicFolder() = default;
  std::filesystem::path target_, temporary_;
  bool is_open_ = false;
};

}  // namespace longhaul
