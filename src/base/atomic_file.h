// A file that appears whole or not at all: written under a temporary name beside its target, then renamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace longhaul {

class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::string& path);
  AtomicFile(AtomicFile&&) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();  // not committed: the temporary file is removed

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  Status commit();  // flush to disk, then rename onto the target

 private:
  AtomicFile() = default;
  std::string path_, temporary_;
  int fd_ = -1;
};

}  // namespace longhaul
