#include <array>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "kernels/highway/highway_sets.h"
#include "kernels/x86/x86.h"

namespace longhaul {
namespace {

constexpr size_t kMaxSets = 16;

struct Sets {
  std::array<const KernelSet*, kMaxSets> sets{};
  size_t count = 0;

  void push(const KernelSet* set) {
    LH_CHECK(count < kMaxSets);
    sets[count++] = set;
  }
};

std::string names(std::span<const KernelSet* const> sets) {
  std::string text;
  for (const KernelSet* set : sets) text += (text.empty() ? "" : ", ") + std::string(set->name);
  return text;
}

}  // namespace

std::span<const KernelSet* const> all_kernel_sets() {
  static const Sets all = [] {
    Sets s;
    s.push(&ref_kernels());
    for (const KernelSet* set : cpu_kernel_sets()) s.push(set);
    for (const KernelSet* set : x86_kernel_sets()) s.push(set);
    return s;
  }();
  return {all.sets.data(), all.count};
}

Result<const KernelSet*> choose_kernels() {
  const auto sets = all_kernel_sets();
  const char* wanted = std::getenv("LONGHAUL_KERNELS");
  if (wanted == nullptr || *wanted == '\0') return sets.back();
  for (const KernelSet* set : sets) {
    if (std::string_view(wanted) == set->name) return set;
  }
  return unsupported("LONGHAUL_KERNELS={}: no such kernel set on this machine; these work: {}",
                     wanted, names(sets));
}

}  // namespace longhaul
