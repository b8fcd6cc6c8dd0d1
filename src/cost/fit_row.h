// A plan as a row of a table of fits.
#pragma once

#include "cost/plan.h"
#include "longhaul/fit.h"

namespace longhaul {

// Without a speed, and as if nothing were rounded.
//   request  of the plan; its memory is given
//   natural  the format in which the weights are kept where nothing is asked for
FitRow fit_row(const Plan& plan, const PlanRequest& request, const WeightFormat& natural);

// f32 holds nothing that smaller formats lose, unless the files are in f32 themselves.
bool is_of_use(const FitRow& row);

}  // namespace longhaul
