// RMSNorm over rows: out = x / sqrt(mean(x^2) + eps) * w, in f32.
// Source: Zhang & Sennrich 2019, eq. 4, eps inside the root as in the families' released code.
#pragma once

#include "arch/mixer.h"
#include "mechanisms/env.h"

namespace longhaul {

// out may be x.
inline void norm(const Env& env, const NormSpec& spec, Rows<const float> x, Rows<float> out) {
  env.ops->norm(x, env.weights->vector(spec.weight), spec.eps, out);
}

void visit_norm(Is<NormSpec> auto& norm, const auto& visit) { visit(norm.weight); }
void visit_norm(Is<std::optional<NormSpec>> auto& norm, const auto& visit) {
  if (norm) visit(norm->weight);
}

}  // namespace longhaul
