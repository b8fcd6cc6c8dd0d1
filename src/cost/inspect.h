// A description on paper: block by block, with parameters and where keys and values come from.
#pragma once

#include <string>

#include "arch/architecture.h"
#include "base/json.h"
#include "longhaul/planner.h"

namespace longhaul {

Inspection inspect(const Architecture& arch);
std::string inspect_report(const Inspection& inspection);
Json inspect_json(const Inspection& inspection);
std::string inspect_report(const Architecture& arch);
Json inspect_json(const Architecture& arch);

}  // namespace longhaul
