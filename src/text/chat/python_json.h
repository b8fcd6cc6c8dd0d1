// JSON as Python's json.dumps writes it with ensure_ascii=False: ", " and ": " between things,
// floats by their repr. Prompts carry it.
#pragma once

#include <string>

#include "base/errors.h"
#include "base/json.h"

namespace longhaul {

// An error where the value is nested too deeply or is too large to print.
Result<std::string> python_json(const Json& value);

}  // namespace longhaul
