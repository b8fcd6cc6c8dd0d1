// The Result type (public) plus what only the inside needs: LH_TRY and formatted errors.
//
// A format says what is wrong, then, after its last "; ", what to do: "{}: no tensor '{}';
// download the file again". Where only the caller knows what to do, the caller adds it: or_remedy.
#pragma once

#include <fmt/format.h>

#include <string_view>

#include "longhaul/result.h"

namespace longhaul {

// What make_error does with its arguments, of whatever types they are.
Error make_error_from(ErrorCode code, std::string_view format, fmt::format_args args);

template <class... Args>
Error make_error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  const fmt::string_view text = format;
  return make_error_from(code, {text.data(), text.size()}, fmt::make_format_args(args...));
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

// An error found below, told from where it matters: "context: message", its remedy kept.
Error in_context(std::string_view context, Error error);

// The same result; an error that lacks a remedy has this one.
template <class T>
Result<T> or_remedy(Result<T> result, std::string_view remedy) {
  if (result.ok() || !result.error().remedy.empty()) return result;
  Error error = result.take_error();
  error.remedy = remedy;
  return error;
}

}  // namespace longhaul

#define LH_CONCAT_(a, b) a##b
#define LH_CONCAT(a, b) LH_CONCAT_(a, b)

// LH_TRY(auto x, f()): x is f's value, or the enclosing function returns f's error.
#define LH_TRY(declaration, expression) \
  LH_TRY_(declaration, expression, LH_CONCAT(lh_result_, __LINE__))
#define LH_TRY_(declaration, expression, name) \
  auto name = (expression);                    \
  if (!name.ok()) return name.take_error();    \
  declaration = std::move(*name)

// LH_RETURN_IF_ERROR(f()): passes f's error up, for a Status or a value that is not wanted.
#define LH_RETURN_IF_ERROR(expression)                                                 \
  do {                                                                                 \
    if (auto lh_status = (expression); !lh_status.ok()) return lh_status.take_error(); \
  } while (false)
