#include "base/errors.h"

namespace longhaul {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "invalid argument";
    case ErrorCode::kNotFound: return "not found";
    case ErrorCode::kCorruptFile: return "corrupt file";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kOverBudget: return "over budget";
    case ErrorCode::kIo: return "input/output error";
    case ErrorCode::kCancelled: return "cancelled";
    case ErrorCode::kInternal: return "internal error";
  }
  return "unknown error";
}

std::string Error::text() const {
  if (remedy.empty()) return message;
  const bool is_list = message.find('\n') != std::string::npos;  // a problem a line
  return message + (is_list ? "\n" : "; ") + remedy;
}

Error make_error_from(ErrorCode code, std::string_view format, fmt::format_args args) {
  const size_t at = format.rfind("; ");
  if (at == std::string_view::npos) return {code, fmt::vformat(format, args)};
  // Arguments are numbered through, so both parts are formatted at once, with a mark between them
  // that no message has.
  constexpr char kMark = '\x1f';
  std::string marked(format);
  marked.replace(at, 2, 1, kMark);
  const std::string both = fmt::vformat(marked, args);
  const size_t mark = both.rfind(kMark);
  return {code, both.substr(0, mark), both.substr(mark + 1)};
}

Error in_context(std::string_view context, Error error) {
  error.message = fmt::format("{}: {}", context, error.message);
  return error;
}

int exit_status(ErrorCode code) { return code == ErrorCode::kInternal ? 1 : 2; }

}  // namespace longhaul
