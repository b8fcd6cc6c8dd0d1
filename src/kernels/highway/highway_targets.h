// What the Highway kernels are compiled for. SVE is left out (its vectors cannot be array
// elements), and so are targets between these that would add code but no speed here. To be included
// before Highway.
#pragma once

#define HWY_DISABLED_TARGETS \
  (~(HWY_SCALAR | HWY_EMU128 | HWY_SSE4 | HWY_AVX2 | HWY_AVX3 | HWY_NEON))
