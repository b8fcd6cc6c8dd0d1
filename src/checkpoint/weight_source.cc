#include "checkpoint/weight_source.h"

#include "checkpoint/compute_dtype.h"

namespace longhaul {

Result<WeightFormat> FormatChoice::choose(const std::string& option,
                                          const std::string& where) const {
  if (option == "auto") return natural;
  LH_TRY(const WeightFormat format, weight_format(option));
  if (!is_only || format == natural) return format.over(natural.types());
  return invalid(
      "{}: its weights are packed as {}; --weights {} needs the checkpoint that they were made "
      "from",
      where, option_name(natural), option);
}

}  // namespace longhaul
