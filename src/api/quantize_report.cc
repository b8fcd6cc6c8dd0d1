#include "base/json.h"
#include "longhaul/checkpoint.h"
#include "longhaul/units.h"

namespace longhaul {

std::string to_text(const QuantizeReport& r) {
  std::string text = fmt::format("{:<58} {:>6} {:>8} {:>11} {:>12}\n", "weights", "format",
                                 "matrices", "bytes", "RMS error");
  for (const QuantizeReport::Row& row : r.kinds) {
    const std::string error =
        row.is_zero ? "-" : fmt::format("{:.3f} %", 100 * row.relative_rms_error);
    text += fmt::format("{:<58} {:>6} {:>8} {:>11} {:>12}\n", row.name, row.format, row.matrices,
                        format_bytes(row.bytes), error);
  }
  const std::string rounding =
      r.is_zero ? ""
                : fmt::format(", rounded with an error of {:.3f} % of their size",
                              100 * r.relative_rms_error);
  return text + fmt::format("{}: {} of packed weights{}; {} of tables and vectors", r.folder,
                            format_bytes(r.packed_bytes), rounding, format_bytes(r.copied_bytes));
}

std::string to_json(const QuantizeReport& r) {
  Json weights{Json::Array{}}, kinds{Json::Array{}};
  for (const QuantizeReport::Row& row : r.tensors) {
    weights.push_back(Json::object({{"tensor", row.name},
                                    {"format", row.format},
                                    {"bytes", row.bytes},
                                    {"relative_rms_error", row.relative_rms_error}}));
  }
  for (const QuantizeReport::Row& row : r.kinds) {
    kinds.push_back(Json::object({{"kind", row.name},
                                  {"format", row.format},
                                  {"matrices", row.matrices},
                                  {"bytes", row.bytes},
                                  {"relative_rms_error", row.relative_rms_error}}));
  }
  return Json::object({{"folder", r.folder},
                       {"format", to_string(r.weights)},
                       {"packed_bytes", r.packed_bytes},
                       {"copied_bytes", r.copied_bytes},
                       {"relative_rms_error", r.relative_rms_error},
                       {"kinds", std::move(kinds)},
                       {"weights", std::move(weights)}})
      .dump(2);
}

}  // namespace longhaul
