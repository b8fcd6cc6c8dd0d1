// A folder that appears whole or not at all: filled under a temporary name, then renamed.
//
//   target                            where it is filled
//   nothing                           NAME.N.partial beside it, renamed by commit()
//   a folder                          .N.partial inside it, whose files commit() moves up,
//   config.json
//                                     last: without it nothing loads. A mount point stays one
//   a symbolic link to one of these   there; the link stays
#pragma once

#include <filesystem>
#include <string>

#include "base/errors.h"

namespace longhaul {

class AtomicFolder {
 public:
  static Result<AtomicFolder> create(const std::string& target);
  AtomicFolder(AtomicFolder&&) noexcept;
  AtomicFolder& operator=(AtomicFolder&&) = delete;
  ~AtomicFolder();  // not committed: all of it is removed

  const std::filesystem::path& path() const { return temporary_; }  // to write to
  // Renames onto the target; files that are moved up go over those of the same name.
  Status commit();

 private:
  AtomicFolder() = default;
  Status commit_inside();

  std::filesystem::path target_, temporary_;
  bool is_inside_ = false, is_open_ = false;
};

// kInvalidArgument where there is something by this name that is no empty folder.
Status refuse_used_folder(const std::string& path);

}  // namespace longhaul
