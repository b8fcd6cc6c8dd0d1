// A what-if: what a model's context would cost without one of its ideas. No weights are needed.
#include <longhaul/planner.h>

#include <cstdio>

using namespace longhaul;

int main() {
  PlanOptions options{.context = 128 << 10};
  const auto shipped = plan("gemma-4-E2B", options);
  if (!shipped.ok()) return std::fprintf(stderr, "%s\n", shipped.error().text().c_str()), 1;
  options.what_if = {"no-kv-sharing"};
  const auto edited = plan("gemma-4-E2B", options);
  if (!edited.ok()) return std::fprintf(stderr, "%s\n", edited.error().text().c_str()), 1;

  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::printf("128K tokens keep %.0f MiB; if every layer kept its own keys and values, %.0f MiB\n",
              mib(shipped->state_bytes), mib(edited->state_bytes));
  for (const WhatIf& edit : shipped->edits)
    std::printf("%-20s %6.0f MiB   %s\n", edit.name.c_str(), mib(edit.state_bytes),
                edit.meaning.c_str());
  return edited->state_bytes > shipped->state_bytes ? 0 : 1;
}
