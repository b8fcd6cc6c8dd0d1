#include "kernels/matmul.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/scratch.h"

namespace longhaul {
namespace {

// The cut is chosen from the problem's sizes alone. A chunk is a block of C: `rows` of M by `outputs` of N, over all of K.
// Few rows are bound by memory: chunks of at least the panels that a microkernel reads side by side, else of about 128 KiB.
constexpr int64_t kFewRowsPanels = 4;
constexpr int64_t kFewRowsWeightBytes = 128 * 1024;
constexpr int64_t kManyRows = 32;
constexpr int64_t kManyRowsOutputs = 128;
constexpr int64_t kManyRowsRows = 256;
// Bytes of one panel that are used before the next rows: four panels of them stay in L2 (and nearly in L1) for all rows, and C is
// read and written once in so many bytes.
constexpr int64_t kPanelBlockBytes = 16 * 1024;
constexpr int64_t kRoundElementsPerChunk = 32 * 1024;

struct Cut {
  int64_t outputs = 0, rows = 0;  // of a chunk
  int64_t n_blocks = 0, m_blocks = 0;
  int64_t chunks() const { return n_blocks * m_blocks; }
};

Cut cut_of(const Matmul& p) {
  const int64_t panel_bytes = std::max<int64_t>(p.w.panel_bytes(), 1);
  Cut cut;
  cut.outputs = p.m >= kManyRows ? kManyRowsOutputs : kPanel * std::max(kFewRowsPanels, kFewRowsWeightBytes / panel_bytes);
  cut.n_blocks = ceil_div(p.w.n, cut.outputs);
  cut.m_blocks = ceil_div(p.m, kManyRowsRows);
  cut.rows = cut.m_blocks == 0 ? 0 : ceil_div(p.m, cut.m_blocks);
  return cut;
}

// An odd number of cache lines from row to row, so that a column of rows does not fall into a few sets of the cache.
int64_t rounded_stride(int64_t k) {
  constexpr int64_t kLine = kCacheLine / static_cast<int64_t>(sizeof(bf16));
  return (ceil_div(k, kLine) | 1) * kLine;
}

bool shares_input(const Matmul& a, const Matmul& b) {
  return a.x == b.x && a.x_stride == b.x_stride && a.m == b.m && a.w.k == b.w.k && a.w.dtype == b.w.dtype;
}

// The first product of the group that has the same input; its rounded copy serves all of them.
size_t owner_of_input(std::span<const Matmul> group, size_t i) {
  size_t owner = 0;
  while (!shares_input(group[owner], group[i])) ++owner;
  return owner;
}

bool owns_rounded_input(std::span<const Matmul> group, size_t i) {
  return group[i].w.dtype == DType::kBF16 && owner_of_input(group, i) == i;
}

const bf16* rounded_input(std::span<const Matmul> group, size_t i, std::span<std::byte> scratch) {
  const size_t owner = owner_of_input(group, i);
  uint64_t offset = 0;
  for (size_t j = 0; j < owner; ++j) {
    if (owns_rounded_input(group, j)) offset += matmul_scratch_bytes(DType::kBF16, group[j].m, group[j].w.k);
  }
  LH_CHECK(offset + matmul_scratch_bytes(DType::kBF16, group[owner].m, group[owner].w.k) <= scratch.size());
  return reinterpret_cast<const bf16*>(scratch.data() + offset);
}

void round_rows(const KernelSet& kernels, const Matmul& p, int64_t first_row, int64_t end_row, bf16* out) {
  const int64_t stride = rounded_stride(p.w.k);
  for (int64_t row = first_row; row < end_row; ++row) {
    bf16* to = out + row * stride;
    kernels.to_bf16(p.x + row * p.x_stride, p.w.k, to);
    if (p.w.k % 2 != 0) to[p.w.k] = bf16{0};
  }
}

void round_inputs(const Compute& compute, std::span<const Matmul> group, std::span<std::byte> scratch) {
  for (size_t i = 0; i < group.size(); ++i) {
    if (!owns_rounded_input(group, i)) continue;
    const Matmul& p = group[i];
    auto* out = const_cast<bf16*>(rounded_input(group, i, scratch));
    const int64_t rows = std::max<int64_t>(1, kRoundElementsPerChunk / std::max<int64_t>(p.w.k, 1));
    compute.pool->run(ceil_div(p.m, rows),
                      [&](int64_t chunk, int) { round_rows(*compute.kernels, p, chunk * rows, std::min((chunk + 1) * rows, p.m), out); });
  }
}

// One block of C. k runs in blocks outside the rows; since C holds the f32 sum between blocks, the result is that of one pass.
void multiply_block(const KernelSet& kernels, const Matmul& p, const bf16* rounded, const Cut& cut, int64_t chunk) {
  const int64_t row = chunk % cut.m_blocks * cut.rows, output = chunk / cut.m_blocks * cut.outputs;
  const bool is_f32 = p.w.dtype == DType::kF32;
  const int64_t k_block =
      p.m < kManyRows ? std::max<int64_t>(p.w.k, 1) : kPanelBlockBytes / (kPanel * static_cast<int64_t>(bytes_per_element(p.w.dtype)));
  const Panels panels = p.w.panels(output);
  MatmulTile tile{.a_stride = is_f32 ? p.x_stride : rounded_stride(p.w.k),
                  .b = panels,
                  .c = p.y + row * p.y_stride + output,
                  .c_stride = p.y_stride,
                  .m = std::min(cut.rows, p.m - row),
                  .n = std::min(cut.outputs, p.w.n - output)};
  int64_t k = 0;
  do {  // at least once: K = 0 gives zeros
    tile.k = std::min(k_block, p.w.k - k);
    tile.a = is_f32 ? static_cast<const void*>(p.x + row * p.x_stride + k) : rounded + row * tile.a_stride + k;
    tile.b.data = panels.data + k / inputs_per_step(p.w.dtype) * panels.step_stride;
    tile.accumulate = k > 0;
    is_f32 ? kernels.matmul_f32(tile) : kernels.matmul_bf16(tile);
    k += k_block;
  } while (k < p.w.k);
}

}  // namespace

uint64_t matmul_scratch_bytes(DType weights, int64_t m, int64_t k) {
  return weights == DType::kBF16 ? static_cast<uint64_t>(m * rounded_stride(k)) * sizeof(bf16) : 0;
}

void matmul(const Compute& compute, std::span<const Matmul> group, std::span<std::byte> scratch) {
  LH_CHECK(reinterpret_cast<uintptr_t>(scratch.data()) % kCacheLine == 0);
  round_inputs(compute, group, scratch);
  int64_t n_chunks = 0;
  for (const Matmul& p : group) n_chunks += cut_of(p).chunks();
  compute.pool->run(n_chunks, [&](int64_t chunk, int) {
    size_t i = 0;
    Cut cut = cut_of(group[0]);
    while (chunk >= cut.chunks()) {
      chunk -= cut.chunks();
      cut = cut_of(group[++i]);
    }
    const bf16* rounded = group[i].w.dtype == DType::kBF16 ? rounded_input(group, i, scratch) : nullptr;
    multiply_block(*compute.kernels, group[i], rounded, cut, chunk);
  });
}

}  // namespace longhaul
