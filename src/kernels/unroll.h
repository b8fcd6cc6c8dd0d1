// Full unrolling of short loops with constant bounds, so that arrays of accumulators become
// registers.
#pragma once

#if defined(__clang__)
#define LH_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LH_UNROLL _Pragma("GCC unroll 32")
#endif
