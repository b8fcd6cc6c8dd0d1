// A table of fits for people and for programs.
#pragma once

#include <string>

#include "base/json.h"
#include "longhaul/fit.h"

namespace longhaul {

// Within kReportColumns. Rows in f32 are left out where the model is not kept so by itself.
std::string fit_report(const FitTable& table);
Json fit_json(const FitTable& table);  // keys are stable

// The bytes and the speed of a row, into the object that tells of it.
void add_price(Json& object, const FitRow& row);

}  // namespace longhaul
