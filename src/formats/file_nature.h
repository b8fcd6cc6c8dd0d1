// What a file of a download is, told from its first bytes and its name: downloads that went wrong
// leave other things under the names of models.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace longhaul {

enum class FileNature {
  kOther,
  kEmpty,         // no bytes at all
  kUnfinished,    // a downloader's name for what it has not finished
  kLfsPointer,    // what git leaves without git-lfs
  kWebPage,       // HTML or XML: a login page, an error
  kErrorMessage,  // a server's answer in words or JSON
  kSafetensors,
  kGguf,
  kOldGgml,  // what came before GGUF
  kPickle,   // PyTorch's own formats
  kArchive,  // zip, tar, gzip, ...: to be unpacked
  kJson,
  kText,
};

inline constexpr size_t kNatureBytes = 4096;  // that are looked at

//   name   the file's own, without folders
//   begin  its first bytes, up to kNatureBytes
FileNature nature_of(std::string_view name, std::span<const std::byte> begin, uint64_t file_bytes);

// "a web page"; for people.
const char* to_string(FileNature nature);
// What to do with a file of this nature that is to be weights or a config; empty where nothing is
// wrong with it.
std::string_view remedy_of(FileNature nature);

}  // namespace longhaul
