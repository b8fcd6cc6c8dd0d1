// Whether a person sits at the other end.
#pragma once

namespace longhaul {

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

}  // namespace longhaul
