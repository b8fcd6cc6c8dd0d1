#include "cli/option_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "cli/output.h"
#include "longhaul/nearest.h"
#include "longhaul/units.h"

namespace longhaul::cli {
namespace {

std::string words(const CountRange& range) {
  return range.max == INT64_MAX ? fmt::format("at least {}", range.min)
                                : fmt::format("from {} to {}", range.min, range.max);
}

[[noreturn]] void refuse(const std::string& name, const std::string& message) {
  throw CLI::ValidationError(name, message);
}

// "-5" is told to be out of a range, not to be no number.
bool is_negative_count(std::string_view text) {
  return text.size() > 1 && text[0] == '-' && parse_count(text.substr(1)).ok();
}

int64_t count_of(const std::string& name, const std::string& text, const CountRange& range) {
  const Result<int64_t> count = parse_count(text);
  const bool is_outside =
      count.ok() ? *count < range.min || *count > range.max : is_negative_count(text);
  if (is_outside) refuse(name, fmt::format("must be {}, given {}", words(range), shown(text)));
  if (!count.ok()) refuse(name, count.error().text());
  return *count;
}

double number_of(const std::string& name, const std::string& text, double min, double max) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end || error == std::errc::invalid_argument)
    refuse(name, fmt::format("'{}' is not a number: expected one such as 0.7", shown(text)));
  if (error != std::errc() || !(value >= min && value <= max))  // false for NaN
    refuse(name, fmt::format("must be from {} to {}, given {}", min, max, shown(text)));
  return value;
}

uint64_t seed_of(const std::string& name, const std::string& text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const bool is_too_large = stop == end && error == std::errc::result_out_of_range;
  if (is_too_large || is_negative_count(text))
    refuse(name, fmt::format("must be from 0 to {}, given {}", UINT64_MAX, shown(text)));
  if (stop != end || error != std::errc())
    refuse(name,
           fmt::format("'{}' is not a whole number: expected digits, such as 42", shown(text)));
  return value;
}

}  // namespace

CLI::Option* add_count(CLI::App& command, const std::string& name,
                       const std::function<void(int64_t)>& set, const std::string& help,
                       CountRange range) {
  const auto take = [set, name, range](const std::string& text) {
    set(count_of(name, text, range));
  };
  return command.add_option_function<std::string>(name, take, help)->type_name("N");
}

CLI::Option* add_count(CLI::App& command, const std::string& name, int64_t& value,
                       const std::string& help, CountRange range) {
  return add_count(command, name, [&value](int64_t n) { value = n; }, help, range);
}

CLI::Option* add_count(CLI::App& command, const std::string& name, int& value,
                       const std::string& help, CountRange range) {
  range.max = std::min<int64_t>(range.max, INT32_MAX);
  return add_count(
      command, name, [&value](int64_t n) { value = static_cast<int>(n); }, help, range);
}

CLI::Option* add_counts(CLI::App& command, const std::string& name, std::vector<int64_t>& values,
                        const std::string& help, CountRange range) {
  const auto take = [&values, name, range](const std::vector<std::string>& texts) {
    values.clear();
    for (const std::string& text : texts) values.push_back(count_of(name, text, range));
  };
  return command.add_option_function<std::vector<std::string>>(name, take, help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("N,...");
}

CLI::Option* add_bytes(CLI::App& command, const std::string& name, uint64_t& value,
                       const std::string& help) {
  const auto take = [&value, name](const std::string& text) {
    const Result<uint64_t> bytes = parse_bytes(text);
    if (!bytes.ok()) refuse(name, bytes.error().text());
    value = *bytes;
  };
  return command.add_option_function<std::string>(name, take, help)->type_name("SIZE");
}

CLI::Option* add_seed(CLI::App& command, const std::function<void(uint64_t)>& set,
                      const std::string& help) {
  const std::string name = "--seed";
  const auto take = [set, name](const std::string& text) { set(seed_of(name, text)); };
  return command.add_option_function<std::string>(name, take, help)->type_name("N");
}

CLI::Option* add_number(CLI::App& command, const std::string& name,
                        const std::function<void(double)>& set, const std::string& help, double min,
                        double max) {
  const auto take = [set, name, min, max](const std::string& text) {
    set(number_of(name, text, min, max));
  };
  return command
      .add_option_function<std::string>(name, take,
                                        fmt::format("{} (from {} to {})", help, min, max))
      ->type_name("X");
}

CLI::Option* add_choice(CLI::App& command, const std::string& name, std::string& value,
                        const std::string& help, const std::vector<std::string>& choices) {
  const auto take = [&value, name, choices](const std::string& text) {
    if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
      refuse(name, fmt::format("'{}' is none of {}{}", shown(text), fmt::join(choices, ", "),
                               did_you_mean(text, choices)));
    }
    value = text;
  };
  return command.add_option_function<std::string>(name, take, help)
      ->default_str(value)
      ->type_name("WORD");
}

CLI::Option* add_texts(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                       const std::string& help) {
  return command.add_option(name, values, help)->allow_extra_args(false)->type_name("TEXT");
}

}  // namespace longhaul::cli
