// What concerns the whole process. A library leaves its terminal and its signals alone: the program
// asks for these.
#pragma once

#include <functional>
#include <string_view>

#include "longhaul/result.h"

namespace longhaul {

// Where notices go: one line each, without its end, that a user should read although nothing
// failed, such as a tensor that the config denies. Without a handler they go nowhere. The handler
// is called by the thread that loads, one call at a time.
void set_notice_handler(std::function<void(std::string_view line)> handler);

// From now on, a model file that becomes shorter while it is mapped ends the process with one line
// on standard error and this exit status, instead of SIGBUS. Files that are being written under a
// temporary name are removed first. Other faults do what they did before. Any thread may fault.
Status end_when_files_shrink(int exit_status);

}  // namespace longhaul
