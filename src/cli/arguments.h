// The arguments of the program, looked at before CLI11 takes them: it would take what follows a
// misspelt option for something else, and complain of that.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "longhaul/result.h"

namespace longhaul::cli {

// The arguments with every value apart from its option ("--top-k=5" and "-n5" become two), or what
// is wrong with them: an unknown command or option with the nearest that there is, a value that is
// missing, an option given twice, a text that was not quoted.
Result<std::vector<std::string>> check_arguments(const CLI::App& app,
                                                 const std::vector<std::string>& given);

// "see `longhaul run --help`", for the command that the arguments begin with.
std::string help_hint(const CLI::App& app, const std::vector<std::string>& given);

}  // namespace longhaul::cli
