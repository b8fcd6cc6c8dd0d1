#include "checkpoint/weight_source.h"

#include "base/notice.h"
#include "checkpoint/compute_dtype.h"

namespace longhaul {

void FormatChoice::tell_of_rounding(const WeightFormat& format, const std::string& where) const {
  if (format == WeightFormat::kF32) return;
  const bool is_native = format == WeightFormat::kReleased;
  const char* to = is_native ? kBf16Codec.name : format.codec()->name;
  if (!codes.empty())
    notice(
        "{}: its weights are {}; they are unpacked and rounded to {}, and --weights f32 alone "
        "keeps their values",
        where, codes, to);
  if (!blocks.empty() && !is_native)
    notice(
        "{}: its weights are {}; they are unpacked and rounded to {}, where --weights released "
        "keeps them as they are",
        where, blocks, to);
}

Result<WeightFormat> FormatChoice::choose(const std::string& option,
                                          const std::string& where) const {
  if (option == "auto") {
    tell_of_rounding(natural, where);
    return natural;
  }
  LH_TRY(const WeightFormat format, weight_format(option));
  if (!is_only) tell_of_rounding(format, where);
  if (!is_only || format == natural) return format.over(natural.types());
  return invalid(
      "{}: its weights are packed as {}; --weights {} needs the checkpoint that they were made "
      "from",
      where, option_name(natural), option);
}

}  // namespace longhaul
