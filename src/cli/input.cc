#include "cli/input.h"

#include "longhaul/files.h"
#include "longhaul/model.h"

namespace longhaul::cli {

Result<std::string> read_text(const std::string& path, uint64_t max_bytes) {
  if (path != "-") return read_file_of_any_kind(path, max_bytes);
  constexpr int kStandardInput = 0;
  return read_descriptor(kStandardInput, "standard input", max_bytes);
}

Result<std::vector<int32_t>> read_token_file(const std::string& path) {
  const Result<std::string> text = read_text(path, uint64_t{256} << 20);
  if (!text.ok()) return text.error();
  return parse_token_ids(*text, path);
}

}  // namespace longhaul::cli
