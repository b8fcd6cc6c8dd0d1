// The program's standard streams.
#pragma once

#include <string_view>

#include "longhaul/result.h"

namespace longhaul::cli {

// Whether a person sits at the other end.
bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

// To be called first in main. A standard stream that the parent closed would lend its number to the
// next file that is opened, and what is printed would land in that file: each closed one is opened
// so that using it fails as before. A reader that goes away (| head) ends the program by SIGPIPE,
// whatever the parent made of that signal. A file that may not grow (ulimit -f) does not: SIGXFSZ
// is ignored, and the write is an error.
void claim_standard_streams();

// Writes all of `text` at once; nothing waits in a buffer. The message of an error is the system's
// reason and a remedy.
Status write_standard_output(std::string_view text);
// Some file systems report a full disk only here. Nothing can be written afterwards.
Status close_standard_output();
// What cannot be written is lost: a closed or full standard error, or a reader of it that went
// away, changes nothing else.
void write_standard_error(std::string_view text);

}  // namespace longhaul::cli
