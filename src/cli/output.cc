#include "cli/output.h"

#include <optional>
#include <string>

#include "cli/standard_streams.h"

namespace longhaul::cli {
namespace {

// Why standard output is broken, if it is.
std::optional<std::string>& out_failure() {
  static std::optional<std::string> failure;
  return failure;
}

std::string without_controls(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f;
    is_control ? out += fmt::format("\\x{:02x}", byte) : out += c;
  }
  return out;
}

}  // namespace

bool is_out_broken() { return out_failure().has_value(); }

bool write_out(std::string_view text) {
  if (is_out_broken()) return false;
  const Status written = write_standard_output(text);
  if (!written.ok()) out_failure() = written.error().text();
  return written.ok();
}

std::string shown(std::string_view text) {
  constexpr size_t kMost = 200;
  return text.size() <= kMost ? std::string(text)
                              : fmt::format("{}... ({} bytes)", text.substr(0, kMost), text.size());
}

void write_err(std::string_view text) { write_standard_error(text); }

void tell(std::string_view message) {
  write_err(fmt::format("longhaul: {}\n", without_controls(message)));
}

int fail(const Error& error) {
  tell(error.text());
  return exit_status(error.code);
}

int finish(int status) {
  const Status closed = close_standard_output();
  if (!is_out_broken() && !closed.ok()) out_failure() = closed.error().text();
  if (!is_out_broken()) return status;
  const int broken = fail({ErrorCode::kIo, "cannot write to standard output: " + *out_failure()});
  return status == 0 ? broken : status;
}

}  // namespace longhaul::cli
