// What the tests of this layer share: files in memory and on disk.
#pragma once

#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/notice.h"

namespace longhaul {

// The notices given while it lives.
class Notices {
 public:
  std::vector<std::string> lines;

 private:
  NoticeScope scope_{[this](std::string_view line) { lines.emplace_back(line); }};
};

// A safetensors file with this header and as many bytes of data, counting up from 0.
inline std::string safetensors_file(std::string_view header, size_t data_bytes) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(uint64_t{header.size()} >> (8 * i));
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "longhaul-test-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  void write(std::string_view name, std::string_view text) const {
    std::ofstream(std::filesystem::path(path_) / name, std::ios::binary) << text;
  }

 private:
  std::string path_;
};

}  // namespace longhaul
