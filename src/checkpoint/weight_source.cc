#include "checkpoint/weight_source.h"

#include <algorithm>

#include "base/notice.h"
#include "checkpoint/compute_dtype.h"
#include "checkpoint/pack.h"

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

std::vector<MatrixRows> pieces_of(WeightId id, const WeightSpec& w) {
  const int64_t per_piece = rows_per_task(w.cols, int64_t{1} << 20);
  std::vector<MatrixRows> pieces;
  for (int64_t e = 0; e < w.n_experts; ++e) {
    for (int64_t row = 0; row < w.rows; row += per_piece)
      pieces.push_back({id, e, row, std::min(per_piece, w.rows - row)});
  }
  return pieces;
}

}  // namespace longhaul
