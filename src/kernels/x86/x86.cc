#include "kernels/x86/x86.h"

#include <array>
#include <string_view>

#include "kernels/highway/highway_sets.h"

namespace longhaul {

#if defined(__x86_64__)

namespace {

struct Sets {
  KernelSet vnni, bf16;
  std::array<const KernelSet*, 2> sets{};
  size_t count = 0;

  Sets() : vnni(*cpu_kernel_sets().back()), bf16(vnni) {
    if (std::string_view(vnni.name) != "avx3") return;
    vnni.name = "avx3_vnni";
    bf16.name = "avx3_bf16";
    if (use_vnni(vnni)) sets[count++] = &vnni;
    use_vnni(bf16);
    use_f8(bf16);
    if (use_bf16(bf16)) sets[count++] = &bf16;
  }
};

}  // namespace

std::span<const KernelSet* const> x86_kernel_sets() {
  static const Sets s;
  return {s.sets.data(), s.count};
}

#else

std::span<const KernelSet* const> x86_kernel_sets() { return {}; }

#endif

}  // namespace longhaul
