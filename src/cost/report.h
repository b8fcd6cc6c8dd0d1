// A plan for people and for programs.
#pragma once

#include <string>

#include "base/json.h"
#include "cost/plan.h"

namespace longhaul {

std::string plan_report(const Plan& plan);
// The same with what-ifs. arch: the description as shipped; the plan may be that of an edited one
// (request.what_if), which is then set beside the shipped model's.
std::string plan_report(const Architecture& arch, const Plan& plan, const PlanRequest& request);
// Keys are stable; bytes, FLOPs and counts are integers. max_context is null where no memory was
// given.
Json plan_json(const Plan& plan);

}  // namespace longhaul
