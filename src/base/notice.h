// Lines for the user about what was decided without failing. They go to the program's handler
// (longhaul/process.h).
#pragma once

#include <fmt/format.h>

#include <string>

namespace longhaul {

void give_notice(const std::string& line);

template <class... Args>
void notice(fmt::format_string<Args...> format, Args&&... args) {
  give_notice(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace longhaul
