// A table of fits for people and for programs.
#pragma once

#include <string>

#include "base/json.h"
#include "longhaul/fit.h"

namespace longhaul {

// Within 100 columns. Rows in f32 are left out where the model is not kept so by itself.
std::string fit_report(const FitTable& table);
Json fit_json(const FitTable& table);  // keys are stable

Json forecast_json(const SpeedForecast& speed);
std::string duration_text(double seconds);  // "1.2 s", "12 min", "3.4 h": six columns at most

}  // namespace longhaul
