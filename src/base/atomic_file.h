// A file that appears whole or not at all: written under a temporary name beside its target, then
// renamed.
//
//   target                          what is written
//   nothing, or a regular file      NAME.N.partial beside it, renamed by commit(); mode and owner
//   of
//                                   an old file are kept
//   a symbolic link                 what it leads to, there or not yet; the link stays
//   a device, a pipe, /dev/stdout   the thing itself, as it comes: nothing is renamed over it
//   a mount point, or a file in a   the file itself
//   folder that takes no new ones
//
// A hard link is a file: other names of the old one keep what they had.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/errors.h"

struct stat;

namespace longhaul {

class AtomicFile {
 public:
  // What cannot be written is an error here already, before the work is done: a folder, a
  // write-protected file, a missing folder. Waits for a pipe's reader.
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  // Not committed: the temporary file is removed, a file written in place is left empty.
  ~AtomicFile();

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  Status commit();  // flush to disk, then rename onto the target

 private:
  AtomicFile() = default;
  Status open_target();
  Status open_own_descriptor(int fd);
  Status open_in_place(int fd, bool is_regular);
  int open_temporary(const struct stat* old);
  Error failed(const char* what, int error) const;

  std::string path_;       // as given, for messages
  std::string target_;     // behind all symbolic links
  std::string temporary_;  // empty: what is written goes to the target itself
  bool is_regular_ = true;
  int fd_ = -1;
};

}  // namespace longhaul
