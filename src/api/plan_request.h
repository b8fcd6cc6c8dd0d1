// Public options of a plan as the planner's request.
#pragma once

#include <string>

#include "checkpoint/find_model.h"
#include "cost/plan.h"
#include "longhaul/planner.h"

namespace longhaul {

//   model  as the user named it, for messages
Result<PlanRequest> plan_request(const NamedModel& named, const std::string& model,
                                 const PlanOptions& options);

}  // namespace longhaul
