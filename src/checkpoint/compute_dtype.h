// The formats in which the engine keeps weights and state, as the command line names them.
#pragma once

#include <string>
#include <vector>

#include "base/errors.h"
#include "base/printable.h"
#include "longhaul/nearest.h"
#include "mechanisms/weight_format.h"
#include "tensor/state_format.h"

namespace longhaul {

// "'q5' is not known here; use auto, ...; did you mean 'q4'?"
inline Error unknown_format(const char* what, const std::string& option,
                            const std::vector<std::string>& known) {
  return invalid("{} '{}' is not known here; use one of {}{}", what, printable(option),
                 fmt::join(known, ", "), did_you_mean(option, known));
}

inline Result<WeightFormat> weight_format(const std::string& option) {
  const auto format = weight_format_from_option(option);
  if (format) return *format;
  std::vector<std::string> known = {"auto"};
  for (const Codec* codec : codecs()) {
    if (codec->option != nullptr) known.emplace_back(codec->option);
  }
  known.emplace_back(option_name(WeightFormat::kReleased));
  return unknown_format("--weights", option, known);
}

// To what a folder may be packed, the smallest first: f32 would be larger than what it is made of.
inline std::vector<std::string> packing_options() {
  std::vector<std::string> options;
  for (const Codec* codec : codecs()) {
    if (codec->option != nullptr && WeightFormat(*codec) != WeightFormat::kF32)
      options.insert(options.begin(), codec->option);
  }
  return options;
}

inline Result<StateFormat> state_format(const std::string& option) {
  if (option == "q8") return StateFormat(DType::kI8);
  if (option == "released") return StateFormat(DType::kBF16, CacheFormat::kReleased);
  const auto dtype = dtype_from_option(option);
  if (!dtype || *dtype == DType::kF16)
    return unknown_format("--kv", option, {"f32", "bf16", "q8", "released"});
  return StateFormat(*dtype);
}
inline const char* state_format_name(const StateFormat& format) {
  if (format.cache == CacheFormat::kReleased) return "released";
  return format.dtype == DType::kI8 ? "Q8" : to_string(format.dtype);
}

}  // namespace longhaul
