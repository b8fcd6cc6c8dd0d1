// Bounds for one rendering: a template comes with a model file and is as little trusted as the
// file.
#pragma once

#include <cstdint>

namespace longhaul {

struct TemplateLimits {
  uint64_t max_steps = 50'000'000;  // evaluated nodes, items walked, 64-byte pieces of text touched
  uint64_t max_output_bytes = uint64_t{64}
                              << 20;  // of the result and of any single string on the way
  uint64_t max_live_bytes = uint64_t{512} << 20;  // all strings, lists and buffers alive at once
  int max_depth = 1000;         // nested statements, expressions and calls while rendering
  int64_t max_range = 100'000;  // items of range(); the reference sandbox has the same bound
};

namespace jinja {
// Nesting of values (a list in a list) and of syntax. Both keep recursive walks, destructors
// included, within the stack.
inline constexpr int kMaxValueDepth = 100;
inline constexpr int kMaxSyntaxDepth = 120;
inline constexpr uint64_t kMaxSourceBytes = uint64_t{1} << 20;
}  // namespace jinja
}  // namespace longhaul
