#include "kernels/cpu/softmax_partial.h"

#include <cmath>

namespace longhaul {
namespace {

float factor_to(float max, float new_max) {
  return max == new_max ? 1.0f : std::exp(max - new_max);
}

}  // namespace

void fold_row(const KernelSet& kernels, const SoftmaxPartial& span, int64_t dim,
              const SoftmaxPartial& total) {
  if (*span.weight == 0.0f) return;
  if (*total.weight == 0.0f) return span.copy_to(total, 1, dim);
  const float max = std::max(*total.max, *span.max);
  const float before = factor_to(*total.max, max), now = factor_to(*span.max, max);
  if (before != 1.0f) kernels.scale(total.sums, before, dim);
  kernels.add_scaled(total.sums, span.sums, now, dim);
  *total.weight = *total.weight * before + *span.weight * now;
  *total.max = max;
}

void write_row(const SoftmaxPartial& total, float sink, int64_t n, float* out) {
  const float max = std::max(*total.max, sink), factor = factor_to(*total.max, max);
  const float weight =
      *total.weight * factor + (sink == kMinusInfinity ? 0.0f : std::exp(sink - max));
  if (weight == 0.0f) {
    std::fill_n(out, n, 0.0f);
    return;
  }
  const float scale = factor / weight;
  for (int64_t d = 0; d < n; ++d) out[d] = total.sums[d] * scale;
}

}  // namespace longhaul
