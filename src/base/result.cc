#include "base/result.h"

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

int exit_status(ErrorCode code) { return code == ErrorCode::kInternal ? 1 : 2; }

}  // namespace longhaul
