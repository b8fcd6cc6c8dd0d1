#include "kernels/cpu/matmul.h"

#include <algorithm>

#include "base/check.h"
#include "tensor/arena.h"

namespace longhaul {
namespace {

// Many rows: a chunk is a block of C, `rows` of M by `outputs` of N, over all of K, chosen from the
// problem's sizes alone.
constexpr int64_t kManyRows = 32;
constexpr int64_t kManyRowsOutputs = 128;
constexpr int64_t kManyRowsRows = 256;
// Bytes of one panel that are used before the next rows: four panels of them stay in L2 (and nearly
// in L1) for all rows, and C is read and written once in so many bytes.
constexpr int64_t kPanelBlockBytes = 16 * 1024;
constexpr int64_t kRoundElementsPerChunk = 32 * 1024;
// Weights that are still in L2 when rows of inputs pass them a second time.
constexpr int64_t kSecondPassBytes = 256 * 1024;

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

// Few rows: bound by memory, and a thread reads fastest on and on. The weights of all products are
// taken as one string of bytes, of which the threads claim long pieces first (half of what is left,
// shared by all) and short ones last, so that they end together. Which piece an output falls into
// changes nothing of its sum.
constexpr int64_t kLeastPieceBytes = 256 * 1024;

// What a microkernel reads side by side stays together.
int64_t unit_panels(const Matmul& p) { return p.w.codec->is_plain ? 4 : 1; }
int64_t n_units(const Matmul& p) { return ceil_div(p.w.n, kPanel * unit_panels(p)); }
int64_t unit_bytes(const Matmul& p) {
  return std::max<int64_t>(unit_panels(p) * p.w.panel_bytes(), 1);
}

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

bool rounds_inputs(const Codec& weights) { return weights.inputs != InputCoding::kF32; }

// An odd number of cache lines from row to row, so that a column of rows does not fall into a few
// sets of the cache.
int64_t rounded_stride_bytes(const Codec& weights, int64_t k) {
  const int64_t bytes =
      is_int8(weights.inputs)
          ? blocks_of(k) * static_cast<int64_t>(sizeof(InputBlock))
          : round_up(k, weights.layout.block_inputs) * static_cast<int64_t>(sizeof(bf16));
  return (ceil_div(bytes, kCacheLine) | 1) * kCacheLine;
}

// How often rows meet the weights: rounded, and what rounding took away, which stands behind all of
// those rows.
int64_t n_passes(const PackedMatrix& w) {
  return w.has_fine_inputs && is_int8(w.codec->inputs) ? 2 : 1;
}

// Weights that meet the same rounded inputs share them.
bool shares_input(const Matmul& a, const Matmul& b) {
  const bool same_rounding = a.w.codec->inputs == b.w.codec->inputs &&
                             a.w.codec->layout.block_inputs == b.w.codec->layout.block_inputs &&
                             n_passes(a.w) == n_passes(b.w);
  return a.x == b.x && a.x_stride == b.x_stride && a.m == b.m && a.w.k == b.w.k && same_rounding;
}

// A product before the i-th that has the same input, whose rounded copy then serves both; i where
// there is none. Groups of experts are long, and those that share stand side by side.
size_t sharer_of(std::span<const Matmul> group, size_t i) {
  constexpr size_t kNear = 8;
  for (size_t j = i; j > 0 && j + kNear > i; --j) {
    if (shares_input(group[j - 1], group[i])) return j - 1;
  }
  return i;
}

bool owns_rounded_input(std::span<const Matmul> group, size_t i) {
  return rounds_inputs(*group[i].w.codec) && sharer_of(group, i) == i;
}

int64_t rows_per_rounding(const Matmul& p) {
  return std::max<int64_t>(1, kRoundElementsPerChunk / std::max<int64_t>(p.w.k, 1));
}

struct Group {
  std::span<Matmul> products;
  int64_t n_roundings = 0, n_blocks = 0, rounded_elements = 0;
};

Group plan_group(std::span<Matmul> products, std::span<std::byte> scratch) {
  Group group{products};
  uint64_t used = 0;
  for (size_t i = 0; i < products.size(); ++i) {
    Matmul& p = products[i];
    p.place = {.first_rounding = group.n_roundings, .first_block = group.n_blocks};
    group.n_blocks += cut_of(p).chunks();
    if (!rounds_inputs(*p.w.codec)) continue;
    if (const size_t sharer = sharer_of(products, i); sharer != i) {
      p.place.inputs = products[sharer].place.inputs;
      continue;
    }
    const uint64_t bytes = matmul_scratch_bytes(p.w, p.m);
    LH_CHECK(bytes <= scratch.size() - used);
    p.place.inputs = scratch.data() + used;
    used += bytes;
    group.n_roundings += ceil_div(p.m, rows_per_rounding(p));
    group.rounded_elements += p.m * p.w.k;
  }
  return group;
}

// The product that the index-th piece of work belongs to: the last that begins at or before it.
const Matmul& product_at(const Group& group, int64_t Matmul::Place::* first, int64_t index) {
  const auto after = std::partition_point(group.products.begin(), group.products.end(),
                                          [&](const Matmul& p) { return p.place.*first <= index; });
  return *(after - 1);
}

// rest: null where what rounding takes away does not count
void round_row(const KernelSet& kernels, const float* x, const Codec& weights, int64_t k,
               std::byte* out, std::byte* rest) {
  if (is_int8(weights.inputs))
    return kernels.quantise_inputs(x, k, weights.inputs, reinterpret_cast<InputBlock*>(out),
                                   reinterpret_cast<InputBlock*>(rest));
  auto* to = reinterpret_cast<bf16*>(out);
  kernels.to_bf16(x, k, to);
  std::fill(to + k, to + round_up(k, weights.layout.block_inputs), bf16{0});
}

void round_some(const KernelSet& kernels, const Group& group, int64_t index) {
  const Matmul& p = product_at(group, &Matmul::Place::first_rounding, index);
  const int64_t rows = rows_per_rounding(p), first = (index - p.place.first_rounding) * rows,
                stride = rounded_stride_bytes(*p.w.codec, p.w.k);
  auto* out = const_cast<std::byte*>(p.place.inputs);
  for (int64_t r = first; r < std::min(first + rows, p.m); ++r) {
    std::byte* rest = n_passes(p.w) == 2 ? out + (p.m + r) * stride : nullptr;
    round_row(kernels, p.x + r * p.x_stride, *p.w.codec, p.w.k, out + r * stride, rest);
  }
}

void round_inputs(const Compute& compute, const Group& group) {
  if (group.rounded_elements <= kRoundElementsPerChunk) {  // sooner done here than shared out
    for (int64_t i = 0; i < group.n_roundings; ++i) round_some(*compute.kernels, group, i);
  } else {
    compute.pool->run(group.n_roundings,
                      [&](int64_t i, int) { round_some(*compute.kernels, group, i); });
  }
}

// Inputs between which the sums pass through C: of plain formats alone, the kernels of block
// formats see to it themselves.
int64_t k_block_of(const Matmul& p) {
  if (p.m < kManyRows || !p.w.codec->is_plain) return std::max<int64_t>(p.w.k, 1);
  const PanelLayout& layout = p.w.codec->layout;
  return kPanelBlockBytes / layout.block_bytes * layout.block_inputs;
}

// What a unit of MatmulTile::a_stride stands for.
int64_t stride_unit_bytes(InputCoding inputs) {
  switch (inputs) {
    case InputCoding::kF32: return sizeof(float);
    case InputCoding::kBf16: return sizeof(bf16);
    case InputCoding::kInt8:
    case InputCoding::kRotatedInt8: break;
  }
  return 1;
}

struct Block {
  int64_t row = 0, n_rows = 0, output = 0, n_outputs = 0;
};

// One block of C. k runs in blocks outside the rows; since C holds the f32 sum between blocks, the
// result is that of one pass.
void multiply_block(const KernelSet& kernels, const Matmul& p, const Block& block) {
  const Codec& codec = *p.w.codec;
  const int64_t element_bytes = stride_unit_bytes(codec.inputs);
  const bool rounds = rounds_inputs(codec);
  const int64_t stride_bytes =
      rounds ? rounded_stride_bytes(codec, p.w.k) : p.x_stride * element_bytes;
  const std::byte* inputs = (rounds ? p.place.inputs : reinterpret_cast<const std::byte*>(p.x)) +
                            block.row * stride_bytes;
  const int64_t k_block = k_block_of(p);
  const Panels panels = p.w.panels(block.output);
  MatmulTile tile{.a_stride = stride_bytes / element_bytes,
                  .b = panels,
                  .c = p.y + block.row * p.y_stride + block.output,
                  .c_stride = p.y_stride,
                  .m = block.n_rows,
                  .n = block.n_outputs};
  const Product multiply = kernels.products.of(codec);
  int64_t k = 0;
  do {  // at least once: K = 0 gives zeros
    tile.k = std::min(k_block, p.w.k - k);
    tile.a = inputs + k * element_bytes;
    tile.b.data = panels.data + k / codec.layout.block_inputs * panels.step_stride;
    tile.accumulate = k > 0;
    multiply(tile);
    k += k_block;
  } while (k < p.w.k);
  if (n_passes(p.w) == 1) return;
  tile.a = inputs + p.m * stride_bytes;
  tile.accumulate = true;
  multiply(tile);
}

// A panel after another where the second pass would find the weights gone from the cache.
void multiply_blocks(const KernelSet& kernels, const Matmul& p, const Block& block) {
  const bool is_long = block.n_outputs / kPanel * p.w.panel_bytes() > kSecondPassBytes;
  if (n_passes(p.w) == 1 || !is_long) return multiply_block(kernels, p, block);
  for (int64_t first = 0; first < block.n_outputs; first += kPanel)
    multiply_block(
        kernels, p,
        {block.row, block.n_rows, block.output + first, std::min(kPanel, block.n_outputs - first)});
}

// Another thread rounded the inputs: they are asked for all at once, not one after another while
// the first panel waits.
void fetch_inputs(const std::byte* inputs, int64_t bytes) {
  constexpr int64_t kMost = 32 * 1024;
  for (int64_t at = 0; at < std::min(bytes, kMost); at += kCacheLine)
    __builtin_prefetch(inputs + at);
}

// The units of the group's weights that begin in [begin, end) of the string of all of them.
void multiply_piece(const KernelSet& kernels, std::span<const Matmul> group, int64_t begin,
                    int64_t end) {
  int64_t at = 0;  // where the product begins
  for (size_t i = 0; i < group.size() && at < end; ++i) {
    const Matmul& p = group[i];
    const int64_t units = n_units(p), bytes = unit_bytes(p), outputs = unit_panels(p) * kPanel;
    const int64_t first = std::clamp(ceil_div(begin - at, bytes), int64_t{0}, units) * outputs;
    const int64_t last =
        std::min(std::clamp(ceil_div(end - at, bytes), int64_t{0}, units) * outputs, p.w.n);
    if (first < last) {
      if (p.place.inputs != nullptr)
        fetch_inputs(p.place.inputs, n_passes(p.w) * p.m * rounded_stride_bytes(*p.w.codec, p.w.k));
      multiply_blocks(kernels, p, {0, p.m, first, last - first});
    }
    at += units * bytes;
  }
}

void multiply_few_rows(const Compute& compute, std::span<const Matmul> group) {
  Pieces pieces{.n_threads = compute.pool->n_threads()};
  for (const Matmul& p : group) pieces.total_bytes += n_units(p) * unit_bytes(p);
  int64_t n_pieces = 0;
  pieces.for_each([&](int64_t, int64_t) { ++n_pieces; });
  compute.pool->run(n_pieces, [&](int64_t piece, int) {
    int64_t i = 0;
    pieces.for_each([&](int64_t begin, int64_t end) {
      if (++i == n_pieces - piece) multiply_piece(*compute.kernels, group, begin, end);
    });
  });
}

void multiply_many_rows(const Compute& compute, const Group& group) {
  compute.pool->run(group.n_blocks, [&](int64_t index, int) {
    const Matmul& p = product_at(group, &Matmul::Place::first_block, index);
    const Cut cut = cut_of(p);
    const int64_t own = index - p.place.first_block, row = own % cut.m_blocks * cut.rows,
                  output = own / cut.m_blocks * cut.outputs;
    multiply_blocks(
        *compute.kernels, p,
        {row, std::min(cut.rows, p.m - row), output, std::min(cut.outputs, p.w.n - output)});
  });
}

}  // namespace

uint64_t matmul_scratch_bytes(const PackedMatrix& w, int64_t m) {
  if (!rounds_inputs(*w.codec)) return 0;
  return static_cast<uint64_t>(n_passes(w) * m * rounded_stride_bytes(*w.codec, w.k));
}

uint64_t matmul_scratch_bytes(std::span<const Matmul> group) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    if (owns_rounded_input(group, i)) bytes += matmul_scratch_bytes(group[i].w, group[i].m);
  }
  return bytes;
}

void matmul(const Compute& compute, std::span<Matmul> products, std::span<std::byte> scratch) {
  LH_CHECK(reinterpret_cast<uintptr_t>(scratch.data()) % kCacheLine == 0);
  const Group group = plan_group(products, scratch);
  round_inputs(compute, group);
  const bool few = std::all_of(products.begin(), products.end(),
                               [](const Matmul& p) { return p.m < kManyRows; });
  few ? multiply_few_rows(compute, products) : multiply_many_rows(compute, group);
}

}  // namespace longhaul
