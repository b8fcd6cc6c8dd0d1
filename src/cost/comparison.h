// Two models side by side at the same context, each figure with the convention it is counted by.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "cost/plan.h"

namespace longhaul {

// The request's what-ifs edit the first model alone.
//   against_weights  how the second one's are kept, as the first one's where not given
Result<Comparison> compare(const Architecture& model, const Architecture& against,
                           const PlanRequest& request,
                           std::optional<WeightFormat> against_weights = {});

std::string comparison_report(const Comparison& comparison);
// Keys are stable: per figure its convention, both values and their ratio.
Json comparison_json(const Comparison& comparison);

}  // namespace longhaul
