#include "cost/fit_row.h"

namespace longhaul {

FitRow fit_row(const Plan& plan, const PlanRequest& request, const WeightFormat& natural) {
  return {.weights = plan.weights,
          .kv = plan.kv,
          .context = plan.context,
          .is_natural = request.weights == natural,
          .weight_bytes = plan.weight_bytes,
          .state_bytes = plan.state_bytes,
          .scratch_bytes = plan.scratch_bytes,
          .total_bytes = plan.total_bytes,
          .mapped_bytes = plan.weight_bytes_mapped,
          .fits = plan.total_bytes <= *request.memory};
}

bool is_of_use(const FitRow& row) {
  return row.kv != "f32" && (row.weights != "f32" || row.is_natural);
}

}  // namespace longhaul
