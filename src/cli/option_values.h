// Options whose value is a number or one of a few words. A value that is none, does not fit or lies
// outside of its range is refused by a message that names the option, the range as people write it,
// and what was given.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace longhaul::cli {

// Both ends included. Without a largest value, a range is told as "at least MIN".
struct CountRange {
  int64_t min = 0, max = INT64_MAX;
};

// A whole number, which may be written "128k" or "1M".
CLI::Option* add_count(CLI::App& command, const std::string& name,
                       const std::function<void(int64_t)>& set, const std::string& help,
                       CountRange range = {});
CLI::Option* add_count(CLI::App& command, const std::string& name, int64_t& value,
                       const std::string& help, CountRange range = {});
CLI::Option* add_count(CLI::App& command, const std::string& name, int& value,
                       const std::string& help, CountRange range);
// Several, separated by commas.
CLI::Option* add_counts(CLI::App& command, const std::string& name, std::vector<int64_t>& values,
                        const std::string& help, CountRange range = {});
// A size in bytes: "24GiB".
CLI::Option* add_bytes(CLI::App& command, const std::string& name, uint64_t& value,
                       const std::string& help);
// A whole number of 64 bits, in digits alone.
CLI::Option* add_seed(CLI::App& command, const std::function<void(uint64_t)>& set,
                      const std::string& help);
// A number with a fraction. It is read the same in every locale.
CLI::Option* add_number(CLI::App& command, const std::string& name,
                        const std::function<void(double)>& set, const std::string& help, double min,
                        double max);
// One of a few words, of which `value` is the default.
CLI::Option* add_choice(CLI::App& command, const std::string& name, std::string& value,
                        const std::string& help, const std::vector<std::string>& choices);
// Any texts, one each time the option is given.
CLI::Option* add_texts(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                       const std::string& help);

}  // namespace longhaul::cli
