// What every error owes its reader, who did not write the file: a message of bounded length, and
// what to do.
#pragma once

#include "base/check.h"
#include "longhaul/result.h"

namespace longhaul {

inline void check_error(const Error& error) {
  LH_CHECK(!error.message.empty() && error.message.size() < 8000);
  LH_CHECK(error.code == ErrorCode::kInternal || !error.remedy.empty());
}

}  // namespace longhaul
