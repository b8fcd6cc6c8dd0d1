// Reading and writing descriptors to the end: whatever a descriptor stands for (a file, a pipe, a
// terminal, a socket).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/errors.h"

namespace longhaul {

// Writes all of `bytes`. Returns 0, or the errno of the first failure. Waits where a descriptor
// that does not block is busy.
int write_all(int fd, std::span<const std::byte> bytes);

// Appends what `fd` gives up to its end. `where` opens the message of an error. More than max_bytes
// is one.
Status read_all(int fd, std::string_view where, uint64_t max_bytes, std::string& out);

// A file of any kind, read to its end: a pipe and a device too, which have no size. Waits for a
// pipe's writer. kNotFound where there is none; a folder is an error.
Result<std::string> read_any_file(const std::string& path, uint64_t max_bytes);

// "what: the system's words for an errno", and what to do about it. kNotFound where nothing is
// there, else kIo.
Error io_error(const std::string& what, int error);

}  // namespace longhaul
