// A whole file mapped read-only. Pages are read when touched, so a large table costs only the rows
// used.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/errors.h"

namespace longhaul {

class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) noexcept;
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Tells the kernel that this range was used once and its pages may go (after packing weights).
  // Those around it that came with it go too: they are back when touched.
  void drop(std::span<const std::byte> range) const;
  // Tells the kernel that this range will be read soon: it begins to, and this call need not wait
  // for it.
  void will_need(std::span<const std::byte> range) const;
  // Brings this range into the process before it returns, so that reading it faults no more. What
  // cannot be read is an error.
  Status populate(std::span<const std::byte> range) const;
  // Copies this range out without mapping it: the process holds no more pages than before. A file
  // that has become shorter is an error. Any thread may call it, and no heap is used but for an
  // error's message.
  Status read(std::span<const std::byte> range, std::byte* out) const;
  // An error if the file has become shorter than it was when it was opened. Reading a byte that is
  // gone raises SIGBUS (base/shrunk_files.h); but the rest of the last page reads as zeros, and
  // only this tells. One system call.
  Status check_size() const;
  // Tells the kernel that rows will be read here and there: no read-ahead.
  void expect_random_access(std::span<const std::byte> range) const;

 private:
  MappedFile() = default;
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
};

// Reads a small text file whole; larger than max_bytes is an error naming both sizes.
Result<std::string> read_file(const std::string& path, size_t max_bytes);

}  // namespace longhaul
