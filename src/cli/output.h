// What the program prints. All of it goes through here: standard output is checked at every write,
// and what standard error cannot take is lost without harm. Nothing here throws for want of a
// stream, as fmt::print does.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "longhaul/result.h"

namespace longhaul::cli {

// Writes to standard output at once. False: it cannot be written to, now or since an earlier call;
// nothing is written after a failure, and work that only serves to be printed should stop. finish()
// tells the user.
bool write_out(std::string_view text);
bool is_out_broken();

template <class... Args>
bool print(fmt::format_string<Args...> format, Args&&... args) {
  return write_out(fmt::format(format, std::forward<Args>(args)...));
}

void write_err(std::string_view text);

// An argument as a message shows it: a long one is cut.
std::string shown(std::string_view text);

// A line for the person at the terminal: "longhaul: ...". Control characters are escaped.
void tell(std::string_view message);
// Tells an error; the exit status for it.
int fail(const Error& error);

// The last thing to do: the program's exit status, which is 2 instead of 0 where standard output
// could not be written.
int finish(int status);

}  // namespace longhaul::cli
