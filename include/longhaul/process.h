// What concerns the whole process. A library leaves signals alone: the program asks for this.
#pragma once

#include "longhaul/result.h"

namespace longhaul {

// From now on, a model file that becomes shorter while it is mapped ends the process with one line
// on standard error and this exit status, instead of SIGBUS. Files that are being written under a
// temporary name are removed first. Other faults do what they did before. Any thread may fault.
Status end_when_files_shrink(int exit_status);

}  // namespace longhaul
