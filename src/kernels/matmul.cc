#include "kernels/matmul.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/scratch.h"

namespace longhaul {
namespace {

// Many rows: a chunk is a block of C, `rows` of M by `outputs` of N, over all of K, chosen from the problem's sizes alone.
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
  Cut cut;
  cut.outputs = kManyRowsOutputs;
  cut.n_blocks = ceil_div(p.w.n, cut.outputs);
  cut.m_blocks = ceil_div(p.m, kManyRowsRows);
  cut.rows = cut.m_blocks == 0 ? 0 : ceil_div(p.m, cut.m_blocks);
  return cut;
}

// Few rows: bound by memory, and a thread reads fastest on and on. The weights of all products are taken as one string of bytes, of which
// the threads claim long pieces first (half of what is left, shared by all) and short ones last, so that they end together.
// Which piece an output falls into changes nothing of its sum.
constexpr int64_t kLeastPieceBytes = 256 * 1024;

// What a microkernel reads side by side stays together.
int64_t unit_panels(const Matmul& p) { return is_block_format(p.w.dtype) ? 1 : 4; }
int64_t n_units(const Matmul& p) { return ceil_div(p.w.n, kPanel * unit_panels(p)); }
int64_t unit_bytes(const Matmul& p) { return std::max<int64_t>(unit_panels(p) * p.w.panel_bytes(), 1); }

struct Pieces {
  int64_t total_bytes = 0, n_threads = 1;

  int64_t least() const { return std::min(kLeastPieceBytes, ceil_div(total_bytes, n_threads)); }
  // Calls f(begin, end) for one piece after another.
  template <class F>
  void for_each(const F& f) const {
    for (int64_t begin = 0; begin < total_bytes;) {
      const int64_t size = std::max(least(), (total_bytes - begin) / (2 * n_threads));
      for (int64_t thread = 0; thread < n_threads && begin < total_bytes; ++thread, begin += size) {
        f(begin, std::min(begin + size, total_bytes));
      }
    }
  }
};

// What a product's inputs are rounded to before it: bf16, or blocks of 8-bit integers; f32 stays as it is.
bool rounds_inputs(DType weights) { return weights != DType::kF32; }

// An odd number of cache lines from row to row, so that a column of rows does not fall into a few sets of the cache.
int64_t rounded_stride_bytes(DType weights, int64_t k) {
  const int64_t inputs = is_block_format(weights) ? round_up(k, kQuantBlock) : k;
  const int64_t bytes =
      is_integer_format(weights) ? blocks_of(k) * static_cast<int64_t>(sizeof(InputBlock)) : inputs * static_cast<int64_t>(sizeof(bf16));
  return (ceil_div(bytes, kCacheLine) | 1) * kCacheLine;
}

// Weights that meet the same rounded inputs share them: all integer formats do.
bool shares_input(const Matmul& a, const Matmul& b) {
  const bool same_rounding = a.w.dtype == b.w.dtype || (is_integer_format(a.w.dtype) && is_integer_format(b.w.dtype));
  return a.x == b.x && a.x_stride == b.x_stride && a.m == b.m && a.w.k == b.w.k && same_rounding;
}

// The first product of the group that has the same input; its rounded copy serves all of them.
size_t owner_of_input(std::span<const Matmul> group, size_t i) {
  size_t owner = 0;
  while (!shares_input(group[owner], group[i])) ++owner;
  return owner;
}

bool owns_rounded_input(std::span<const Matmul> group, size_t i) {
  return rounds_inputs(group[i].w.dtype) && owner_of_input(group, i) == i;
}

std::byte* rounded_input(std::span<const Matmul> group, size_t i, std::span<std::byte> scratch) {
  const auto bytes_of = [&](size_t j) { return matmul_scratch_bytes(group[j].w.dtype, group[j].m, group[j].w.k); };
  const size_t owner = owner_of_input(group, i);
  uint64_t offset = 0;
  for (size_t j = 0; j < owner; ++j) {
    if (owns_rounded_input(group, j)) offset += bytes_of(j);
  }
  LH_CHECK(offset + bytes_of(owner) <= scratch.size());
  return scratch.data() + offset;
}

void round_row(const KernelSet& kernels, const float* x, DType weights, int64_t k, std::byte* out) {
  if (is_integer_format(weights)) return kernels.quantise_inputs(x, k, reinterpret_cast<InputBlock*>(out));
  auto* to = reinterpret_cast<bf16*>(out);
  kernels.to_bf16(x, k, to);
  std::fill(to + k, to + round_up(k, is_block_format(weights) ? kQuantBlock : inputs_per_step(weights)), bf16{0});
}

void round_inputs(const Compute& compute, std::span<const Matmul> group, std::span<std::byte> scratch) {
  for (size_t i = 0; i < group.size(); ++i) {
    if (!owns_rounded_input(group, i)) continue;
    const Matmul& p = group[i];
    std::byte* out = rounded_input(group, i, scratch);
    const int64_t stride = rounded_stride_bytes(p.w.dtype, p.w.k);
    const int64_t rows = std::max<int64_t>(1, kRoundElementsPerChunk / std::max<int64_t>(p.w.k, 1));
    compute.pool->run(ceil_div(p.m, rows), [&](int64_t chunk, int) {
      const int64_t end = std::min((chunk + 1) * rows, p.m);
      for (int64_t r = chunk * rows; r < end; ++r) round_row(*compute.kernels, p.x + r * p.x_stride, p.w.dtype, p.w.k, out + r * stride);
    });
  }
}

// Inputs between which the sums pass through C: f32 and bf16 alone, the kernels of block formats see to it themselves.
int64_t k_block_of(const Matmul& p) {
  if (p.m < kManyRows || is_block_format(p.w.dtype)) return std::max<int64_t>(p.w.k, 1);
  return kPanelBlockBytes / (kPanel * static_cast<int64_t>(bytes_per_element(p.w.dtype)));
}

struct Block {
  int64_t row = 0, n_rows = 0, output = 0, n_outputs = 0;
};

// One block of C. k runs in blocks outside the rows; since C holds the f32 sum between blocks, the result is that of one pass.
void multiply_block(const KernelSet& kernels, const Matmul& p, const std::byte* rounded, const Block& block) {
  const DType dtype = p.w.dtype;
  const auto element_bytes = static_cast<int64_t>(dtype == DType::kF32 ? sizeof(float) : is_integer_format(dtype) ? 1 : sizeof(bf16));
  const int64_t stride_bytes = rounds_inputs(dtype) ? rounded_stride_bytes(dtype, p.w.k) : p.x_stride * element_bytes;
  const std::byte* inputs = (rounds_inputs(dtype) ? rounded : reinterpret_cast<const std::byte*>(p.x)) + block.row * stride_bytes;
  const int64_t k_block = k_block_of(p);
  const Panels panels = p.w.panels(block.output);
  MatmulTile tile{.a_stride = stride_bytes / element_bytes,
                  .b = panels,
                  .c = p.y + block.row * p.y_stride + block.output,
                  .c_stride = p.y_stride,
                  .m = block.n_rows,
                  .n = block.n_outputs};
  int64_t k = 0;
  do {  // at least once: K = 0 gives zeros
    tile.k = std::min(k_block, p.w.k - k);
    tile.a = inputs + k * element_bytes;
    tile.b.data = panels.data + k / inputs_per_step(dtype) * panels.step_stride;
    tile.accumulate = k > 0;
    kernels.matmul(dtype, tile);
    k += k_block;
  } while (k < p.w.k);
}

const std::byte* inputs_of(std::span<const Matmul> group, size_t i, std::span<std::byte> scratch) {
  return rounds_inputs(group[i].w.dtype) ? rounded_input(group, i, scratch) : nullptr;
}

// Another thread rounded the inputs: they are asked for all at once, not one after another while the first panel waits.
void fetch_inputs(const std::byte* inputs, int64_t bytes) {
  constexpr int64_t kMost = 32 * 1024;
  for (int64_t at = 0; at < std::min(bytes, kMost); at += kCacheLine) __builtin_prefetch(inputs + at);
}

// The units of the group's weights that begin in [begin, end) of the string of all of them.
void multiply_piece(const KernelSet& kernels, std::span<const Matmul> group, std::span<std::byte> scratch, int64_t begin, int64_t end) {
  int64_t at = 0;  // where the product begins
  for (size_t i = 0; i < group.size() && at < end; ++i) {
    const Matmul& p = group[i];
    const int64_t units = n_units(p), bytes = unit_bytes(p), outputs = unit_panels(p) * kPanel;
    const int64_t first = std::clamp(ceil_div(begin - at, bytes), int64_t{0}, units) * outputs;
    const int64_t last = std::min(std::clamp(ceil_div(end - at, bytes), int64_t{0}, units) * outputs, p.w.n);
    if (first < last) {
      const std::byte* inputs = inputs_of(group, i, scratch);
      if (inputs != nullptr) fetch_inputs(inputs, p.m * rounded_stride_bytes(p.w.dtype, p.w.k));
      multiply_block(kernels, p, inputs, {0, p.m, first, last - first});
    }
    at += units * bytes;
  }
}

void multiply_few_rows(const Compute& compute, std::span<const Matmul> group, std::span<std::byte> scratch) {
  Pieces pieces{.n_threads = compute.pool->n_threads()};
  for (const Matmul& p : group) pieces.total_bytes += n_units(p) * unit_bytes(p);
  int64_t n_pieces = 0;
  pieces.for_each([&](int64_t, int64_t) { ++n_pieces; });
  compute.pool->run(n_pieces, [&](int64_t piece, int) {
    int64_t i = 0;
    pieces.for_each([&](int64_t begin, int64_t end) {
      if (++i == n_pieces - piece) multiply_piece(*compute.kernels, group, scratch, begin, end);
    });
  });
}

void multiply_many_rows(const Compute& compute, std::span<const Matmul> group, std::span<std::byte> scratch) {
  int64_t n_chunks = 0;
  for (const Matmul& p : group) n_chunks += cut_of(p).chunks();
  compute.pool->run(n_chunks, [&](int64_t chunk, int) {
    size_t i = 0;
    Cut cut = cut_of(group[0]);
    while (chunk >= cut.chunks()) {
      chunk -= cut.chunks();
      cut = cut_of(group[++i]);
    }
    const Matmul& p = group[i];
    const int64_t row = chunk % cut.m_blocks * cut.rows, output = chunk / cut.m_blocks * cut.outputs;
    const Block block{row, std::min(cut.rows, p.m - row), output, std::min(cut.outputs, p.w.n - output)};
    multiply_block(*compute.kernels, p, inputs_of(group, i, scratch), block);
  });
}

}  // namespace

uint64_t matmul_scratch_bytes(DType weights, int64_t m, int64_t k) {
  return rounds_inputs(weights) ? static_cast<uint64_t>(m * rounded_stride_bytes(weights, k)) : 0;
}

uint64_t matmul_scratch_bytes(std::span<const Matmul> group) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    if (owns_rounded_input(group, i)) bytes += matmul_scratch_bytes(group[i].w.dtype, group[i].m, group[i].w.k);
  }
  return bytes;
}

void matmul(const Compute& compute, std::span<const Matmul> group, std::span<std::byte> scratch) {
  LH_CHECK(reinterpret_cast<uintptr_t>(scratch.data()) % kCacheLine == 0);
  round_inputs(compute, group, scratch);
  const bool few = std::all_of(group.begin(), group.end(), [](const Matmul& p) { return p.m < kManyRows; });
  few ? multiply_few_rows(compute, group, scratch) : multiply_many_rows(compute, group, scratch);
}

}  // namespace longhaul
