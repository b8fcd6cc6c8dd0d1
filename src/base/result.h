// The Result type (public) plus what only the inside needs: LH_TRY and formatted errors.
#pragma once

#include <fmt/format.h>

#include "longhaul/result.h"

namespace longhaul {

template <class... Args>
Error make_error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

template <class... Args>
Error corrupt(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorCode::kCorruptFile, format, std::forward<Args>(args)...);
}

template <class... Args>
Error invalid(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

template <class... Args>
Error unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorCode::kUnsupported, format, std::forward<Args>(args)...);
}

}  // namespace longhaul

#define LH_CONCAT_(a, b) a##b
#define LH_CONCAT(a, b) LH_CONCAT_(a, b)

// LH_TRY(auto x, f()): x is f's value, or the enclosing function returns f's error.
#define LH_TRY(declaration, expression) LH_TRY_(declaration, expression, LH_CONCAT(lh_result_, __LINE__))
#define LH_TRY_(declaration, expression, name) \
  auto name = (expression);                    \
  if (!name.ok()) return name.take_error();    \
  declaration = std::move(*name)

// LH_RETURN_IF_ERROR(f()): passes f's error up, for a Status or a value that is not wanted.
#define LH_RETURN_IF_ERROR(expression)                                                 \
  do {                                                                                 \
    if (auto lh_status = (expression); !lh_status.ok()) return lh_status.take_error(); \
  } while (false)
