// The rotation of Longhaul's own integer formats. Each block of 128 inputs, and of weights, is
// multiplied by the Walsh-Hadamard matrix H before it is rounded. Trained models have inputs that
// are many times as large as their neighbours. Rotated, such an input is spread over its block, and
// no longer sets the step in which the 127 others are rounded.
//   weights  w' = H w         inputs  x' = H x / 128         x' w' = x H H w / 128 = x w
// The product is the same in real arithmetic, so nothing outside of it knows of the rotation.
// Source: QuaRot (Ashkboos et al. 2024). There whole vectors are rotated, and most rotations are
// folded into weights; here blocks are, and inputs just before they are rounded.
#pragma once

#include "kernels/codecs/quant_blocks.h"
#include "kernels/walsh_hadamard.h"

namespace longhaul {

inline constexpr float kRotationScale = 1.0f / static_cast<float>(kQuantBlock);  // exact

// w[kQuantBlock] = H w
inline void rotate(float* w) { walsh_hadamard(w, kQuantBlock); }

// x[kQuantBlock] = H x / 128, which is the inverse of rotate() too. It scales first: sums of finite
// inputs stay finite.
inline void rotate_back(float* x) {
  for (int64_t i = 0; i < kQuantBlock; ++i) x[i] *= kRotationScale;
  rotate(x);
}

}  // namespace longhaul
