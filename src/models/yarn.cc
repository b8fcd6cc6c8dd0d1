#include "models/yarn.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace longhaul {

RopeRamp yarn_ramp(const YarnFields& f, int64_t dim) {
  const auto pair_of = [&](double turns) {
    return static_cast<double>(dim) * std::log(static_cast<double>(f.original_max_position_embeddings) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(f.theta));
  };
  const double low = std::max(std::floor(pair_of(f.beta_fast)), 0.0),
               high = std::min(std::ceil(pair_of(f.beta_slow)), static_cast<double>(dim - 1));
  return {low, high == low ? high + 0.001 : high};
}

double yarn_attention_factor(double factor) { return factor > 1.0 ? 0.1 * std::log(factor) + 1.0 : 1.0; }

}  // namespace longhaul
