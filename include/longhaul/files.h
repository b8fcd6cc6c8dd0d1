// Files and descriptors as a careful program reads and writes them: any kind to its end, outputs
// whole or not at all, errors that say what to do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "longhaul/result.h"

namespace longhaul {

class AtomicFile;  // of the library's own

// A file of any kind, a pipe or device too, read to its end. More than max_bytes is an error.
// kNotFound without a file.
Result<std::string> read_file_of_any_kind(const std::string& path, uint64_t max_bytes);
// An open descriptor, read to its end; `name` opens the message of an error.
Result<std::string> read_descriptor(int descriptor, std::string_view name, uint64_t max_bytes);
// Writes all of `text` at once; nothing waits in a buffer.
Status write_descriptor(int descriptor, std::string_view text);
// "what: the system's words for an errno", with what to do about it.
Error system_error(const std::string& what, int error);

// A file that appears whole or not at all, with the mode and owner of the one it replaces. Devices,
// pipes and /dev/stdout are written to as they are. One thread at a time.
class OutputFile {
 public:
  // What cannot be written is an error here already, before the work is done.
  static Result<OutputFile> create(const std::string& path);
  OutputFile(OutputFile&&) noexcept;
  OutputFile& operator=(OutputFile&&) noexcept;
  ~OutputFile();  // without commit() the file that was there stays

  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }
  Status commit();  // to disk, then in place

 private:
  explicit OutputFile(std::unique_ptr<AtomicFile> file);
  std::unique_ptr<AtomicFile> file_;
};

}  // namespace longhaul
