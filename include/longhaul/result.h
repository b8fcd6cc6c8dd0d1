// Errors as values: every function that reads outside bytes or spends a budget returns a Result.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace longhaul {

enum class ErrorCode {
  kInvalidArgument,  // a value, option or request that cannot be meant
  kNotFound,         // a file, tensor, template or name that is not there
  kCorruptFile,      // bytes that are not what their format says
  kUnsupported,      // understood, and not something that this build can do
  kOverBudget,       // more than the memory, context or queue that was given
  kIo,               // the system refused to read or write
  kCancelled,        // the caller asked to stop
  kInternal          // a bug in Longhaul
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;      // where (file, tensor, byte offset) and what; expected and found
  std::string remedy = {};  // what its reader can do, where the message does not end in it
  // "message; remedy": what people are shown.
  std::string text() const;
};

// The program's exit status for an error: 2 for anything the user's input caused, 1 for a fault of
// ours.
int exit_status(ErrorCode code);
const char* to_string(ErrorCode code);

// Either a T or an Error. Small on purpose: public headers carry no third-party type.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(state_); }
  Error&& take_error() { return std::move(std::get<1>(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return *error_; }
  Error&& take_error() { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

}  // namespace longhaul
